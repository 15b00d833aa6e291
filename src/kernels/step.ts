/** The 64 bytes that change from one denoising step to the next: what guided-step and its neighbours read as `step`. */
import stepText from '../../wgsl/lib/step.wgsl';

/** Everything is 0 unless given. */
export interface StepValues {
  /** Factor of classifier-free guidance. */
  readonly guidance?: number | undefined;
  /** Predicted clean latents: x0FromX * x + x0FromNoise * e. */
  readonly x0FromX?: number | undefined;
  /** The noise's part in them. */
  readonly x0FromNoise?: number | undefined;
  /** Predicted noise: epsFromX * x + epsFromNoise * e. */
  readonly epsFromX?: number | undefined;
  /** The noise's part in it. */
  readonly epsFromNoise?: number | undefined;
  /** Next latents: outFromX0 * x0 + outFromEps * eps + sigma * noise. */
  readonly outFromX0?: number | undefined;
  /** The predicted noise's part in them. */
  readonly outFromEps?: number | undefined;
  /** Deviation of the noise that guided-step adds. */
  readonly sigma?: number | undefined;
  /** x0 is clamped to -clip..clip where this is positive. */
  readonly clip?: number | undefined;
  /** mask-map: factor of what is added, 1 over the number of maps. */
  readonly mapWeight?: number | undefined;
  /** mask-map: overwrites the map instead of adding to it. */
  readonly mapFirst?: boolean | undefined;
  /** guided-step: entry of the reference latents to blend with. */
  readonly referenceIndex?: number | undefined;
  /** history-store: entry to write. */
  readonly historyIndex?: number | undefined;
  /** first-nonfinite: number of the step in its phase, from 0. */
  readonly stepNumber?: number | undefined;
  /** guided-step: latents are free where a soft mask is above this. */
  readonly maskAbove?: number | undefined;
}

/** Bytes of the buffer that StepValues are packed into. */
export const STEP_BYTES = 64;

/** The contents of a step buffer. */
export function packStep(values: StepValues): ArrayBuffer {
  const bytes = new ArrayBuffer(STEP_BYTES);
  const floats = [
    values.guidance,
    values.x0FromX,
    values.x0FromNoise,
    values.epsFromX,
    values.epsFromNoise,
    values.outFromX0,
    values.outFromEps,
    values.sigma,
    values.clip,
    values.mapWeight,
  ];
  new Float32Array(bytes).set(floats.map(v => v ?? 0));
  const indices = [
    values.mapFirst ? 1 : 0,
    values.referenceIndex ?? 0,
    values.historyIndex ?? 0,
    values.stepNumber ?? 0,
  ];
  new Uint32Array(bytes).set(indices, floats.length);
  new Float32Array(bytes).set([values.maskAbove ?? 0], floats.length + indices.length);
  return bytes;
}

/** Text that defines the struct Step. */
export const stepLib: string = stepText;
