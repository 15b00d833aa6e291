/** The UNet's program for one step of any sampler: prediction, guidance, step, and the blend of inpainting. */
import type { NdArray } from '../../core/ndarray.ts';
import type { LinearStep, NoiseMix, Threshold } from '../../schedulers/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { concat } from '../../tensor/ops/copy.ts';
import { firstNonFinite, type StepValues } from '../../tensor/ops/diffusion.ts';
import { keptShape, linearStep, noisedBlend, weightsShape } from '../../tensor/ops/sampling.ts';
import type { Denoiser } from '../diffusion/denoiser.ts';
import type { DenoiserSize, UNetInputs } from '../diffusion/denoiser-programs.ts';
import { bounded, guidedBy } from '../diffusion/guided-prediction.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { DeviceProgram } from '../runtime/device-program.ts';

/** The size of a step, and what is part of it. */
export interface SamplerStepShape extends DenoiserSize {
  /** Values that the sampler keeps from step to step. */
  readonly slots: number;
  /** Whether noise has a part in some step. */
  readonly noise: boolean;
  /** Dynamic thresholding of the predicted clean latents. */
  readonly threshold: Threshold | undefined;
  /** Whether the UNet sees the latents times a factor. */
  readonly scaled: boolean;
  /** 'blend': the picture is kept outside of the mask; 'seen': the UNet sees mask and masked picture; absent without a mask. */
  readonly mask: 'blend' | 'seen' | undefined;
}

/** What a step reads and writes; `latents` are moved in place. */
export interface SamplerStepInputs extends UNetInputs {
  /** The weights of its sums. */
  readonly weights: DeviceTensor;
  /** What the sampler keeps; lies as the kernel wants it. */
  readonly kept: DeviceTensor;
  /** f32 [N, C, H, W]; where it has a part. */
  readonly noise: DeviceTensor | undefined;
  /** f32 [1, C, 1, 1]: the factor of what the UNet sees; where there is one. */
  readonly scale: DeviceTensor | undefined;
  /** f32 [N, 1, H, W]; with a mask. */
  readonly mask: DeviceTensor | undefined;
  /** f32 [N, C, H, W]: the clean latents of the picture, or those of the masked one; with a mask. */
  readonly picture: DeviceTensor | undefined;
  /** f32 [N, C, H, W]: the noise that the picture is brought to a level by; for a blend. */
  readonly levelNoise: DeviceTensor | undefined;
}

/** One step in place, compiled once for a size. */
export function samplerStep(
  call: DeviceCall,
  denoiser: Denoiser,
  s: SamplerStepShape,
  rows: readonly NdArray[],
): Promise<DeviceProgram<SamplerStepInputs>> {
  return denoiser.program(call, 'sampler step', { size: s, rows }, r => {
    const { graph, scope, io, shape } = r;
    const f32 = (of: readonly number[], label: string): DeviceTensor => scope.tensor(of, 'float32', label);
    const [images = 0, channels = 0, height = 0, width = 0] = shape;
    const own = {
      weights: f32(weightsShape(s.slots), 'weights of the step'),
      kept: f32(keptShape(shape, s.slots), 'kept values'),
      noise: s.noise ? f32(shape, 'noise') : undefined,
      scale: s.scaled ? f32([1, channels, 1, 1], 'scale of the input') : undefined,
      mask: s.mask && f32([images, 1, height, width], 'mask'),
      picture: s.mask && f32(shape, 'picture'),
      levelNoise: s.mask === 'blend' ? f32(shape, 'noise of the level') : undefined,
    };
    const [x, step] = [graph.input(io.latents), graph.input(io.step)];
    const [mask, picture] = [own.mask && graph.input(own.mask), own.picture && graph.input(own.picture)];
    const scaled = own.scale ? x.mul(graph.input(own.scale)) : x;
    const seen = s.mask === 'seen' && mask && picture ? concat([scaled, mask, picture], 1) : scaled;
    const both = r.predict(s.guided ? 2 : 1, seen);
    const predicted = s.guided && (s.rescaled || s.threshold) ? guidedBy(r, both, s.rescaled) : both;
    linearStep({
      ...(s.threshold ? bounded(r, predicted, { ...s.threshold, x }) : { prediction: predicted }),
      ...{ x, step, slots: s.slots },
      weights: graph.input(own.weights),
      kept: graph.input(own.kept),
      noise: own.noise && graph.input(own.noise),
    });
    if (own.levelNoise && mask && picture)
      noisedBlend({ x, step, mask, clean: picture, noise: graph.input(own.levelNoise) });
    firstNonFinite(x, step, graph.input(io.found));
    return { ...io, ...own };
  });
}

/** Whether the predicted clean latents have a part of their own in a step; where they have none they may be infinite. */
function needsClean({ clip, threshold, next, keep }: LinearStep): boolean {
  return clip !== null || threshold !== null || next.clean !== 0 || keep.some(sum => sum.clean !== 0);
}

/**
 * The numbers of a step.
 * @param level of the latents behind it, for a blend
 */
export function samplerStepValues(step: LinearStep, level: NoiseMix | undefined): StepValues {
  const { cleanSample, clip } = step;
  return {
    ...(needsClean(step) ? { x0FromX: cleanSample.sample, x0FromNoise: cleanSample.output } : {}),
    clip: clip ?? 0,
    outFromX0: level?.sample ?? 1,
    sigma: level?.noise ?? 0,
  };
}
