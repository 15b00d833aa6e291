/** Sizes of the UNet's programs, and what they read and write. */
import type { NdArray } from '../../core/ndarray.ts';
import type { Threshold } from '../../schedulers/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Graph } from '../../tensor/graph.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { TensorScope } from '../runtime/device-memory.ts';
import type { DrawInputs, DrawShape } from './latent-draws.ts';

/** Keys and values of one prompt, one tensor [1, L, 2 * inner] for each cross-attention. */
export interface PromptContext {
  readonly embeds: NdArray;
  readonly tensors: readonly DeviceTensor[];
  /** Frees them and forgets the prompt. */
  dispose(): void;
}

/** What every program that runs the UNet reads. */
export interface UNetInputs {
  /** f32 [N, C, H, W] */
  readonly latents: DeviceTensor;
  /** f32 [1, C0] */
  readonly time: DeviceTensor;
  readonly step: DeviceTensor;
  /** uint32 [1]: the first step whose result was not finite. */
  readonly found: DeviceTensor;
  /** [rows, L, 2 * inner] each. */
  readonly context: readonly DeviceTensor[];
  /** What stands in the rows of `context` now. */
  readonly held: (PromptContext | undefined)[];
}

/** What a sampler step reads and writes. */
export interface StepInputs extends UNetInputs {
  /** f32 [M, 1, H, W]; for an edit. */
  readonly mask: DeviceTensor | undefined;
  /** f32 [T * R, C, H, W]; for an edit. */
  readonly reference: DeviceTensor | undefined;
  /** f32 [N, C, H, W]; with eta. */
  readonly noise: DeviceTensor | undefined;
  /** f32 [T * N, C, H, W]; for an inversion. */
  readonly history: DeviceTensor | undefined;
  /** f32 [N, C, H, W]: what the step moves in place; `latents` itself, or with `apart` a tensor of its own. */
  readonly moved: DeviceTensor;
}

/** What a prediction reads and writes. */
export interface NoiseInputs extends UNetInputs {
  /** f32 [N, C, H, W]: the guided prediction. */
  readonly output: DeviceTensor;
}

/** What a draw of latents reads and writes; `latents` are its result. */
export interface LatentInputs extends Pick<UNetInputs, 'latents' | 'step'>, DrawInputs {}

/** What a map reads and writes. */
export interface MapInputs extends UNetInputs, DrawInputs {
  /** f32 [N, 1, H, W] */
  readonly map: DeviceTensor;
}

/** The size of a run. */
export interface DenoiserSize {
  /** N: latents. */
  readonly images: number;
  /** Of the latents. */
  readonly height: number;
  /** Of the latents. */
  readonly width: number;
  /** Classifier-free guidance: the UNet sees every latent twice. */
  readonly guided: boolean;
  /** The guided prediction's spread is brought back by the step's `rescale`. */
  readonly rescaled?: boolean | undefined;
}

/** Latents to be drawn, and what they are drawn from. */
export interface DrawSize extends Pick<DenoiserSize, 'images' | 'height' | 'width'> {
  readonly draws: DrawShape;
}

/** The size of a sampler step, and what is part of it. */
export interface StepShape extends DenoiserSize {
  /** The masked blend with the reference after each step; for an edit. */
  readonly blend?:
    | {
        readonly masks: number;
        readonly order: 'tiled' | 'consecutive';
        readonly references: number;
        readonly frames: number;
        /** The mask is continuous, and cut at every step by a number of its own. */
        readonly soft?: boolean | undefined;
      }
    | undefined;
  /** Dynamic thresholding of the predicted clean latents. */
  readonly threshold?: Threshold | undefined;
  /** Whether steps add fresh noise. */
  readonly noise: boolean;
  /** Frames of the history. */
  readonly history?: number | undefined;
  /** The UNet sees `latents`, and the step moves other ones, `moved`. */
  readonly apart?: boolean | undefined;
}

/** What a recording of the UNet starts from. */
export interface UNetRecording {
  readonly graph: Graph;
  readonly scope: TensorScope;
  /** [N, C, H, W] */
  readonly shape: readonly number[];
  readonly io: UNetInputs;
  /**
   * Records the prediction for every latent `times` times, block by block, as the prompts' rows stand; no more rows at once than fit.
   * @param sample [N, channels of the UNet, H, W]; by default `io.latents`
   */
  readonly predict: (times: number, sample?: Tensor) => Tensor;
}
