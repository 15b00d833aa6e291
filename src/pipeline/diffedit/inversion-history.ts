/** What the loops of an inversion have in common: their work, and the latents of every step that they leave on the device. */
import type { NdArray } from '../../core/ndarray.ts';
import { sizeOf } from '../../core/shape.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Entries } from '../../tensor/host-copy.ts';
import type { DenoiserSize } from '../diffusion/denoiser-programs.ts';
import { asArray, type PhaseReport } from '../runtime/device-call.ts';
import type { KeptPhase } from '../runtime/kept-phases.ts';
import { swapFirst } from './edit-inputs.ts';
import { type Guidance, guidanceShape } from './guidance.ts';
import type { InvertRequest } from './request.ts';

/** What is read of a history, [B, T, 4, h, w] each. */
export interface ReadHistory {
  readonly latents: NdArray;
  readonly noise?: NdArray;
}

/** Latents of all steps on the device, noisiest first. */
export interface History {
  /** f32 [T * B, 4, h, w] */
  readonly tensor: DeviceTensor;
  readonly frames: number;
  readonly batch: number;
  /** f32 [B, 4, h, w]: the latents that the inversion started from. */
  readonly clean?: DeviceTensor;
  /** f32 [T * B, 4, h, w]: noise of the edit's steps, the first one's first; where a DDPM inversion found it. */
  readonly noise?: DeviceTensor | undefined;
}

/** What all loops work with. */
export interface InvertWork {
  readonly request: InvertRequest;
  /** Of the UNet's batch. */
  readonly rows: readonly NdArray[];
  readonly report: PhaseReport;
  readonly kept: KeptPhase;
}

/** Entries of a history that steps [from, to) of its making have filled: the last ones first. */
export function framesOf({ frames, batch }: Pick<History, 'frames' | 'batch'>): (from: number, to: number) => Entries {
  return (from, to) => ({ from: (frames - to) * batch, count: (to - from) * batch });
}

/** Size of the UNet's work on latents. */
export function sizeFor(latents: Pick<DeviceTensor, 'shape'>, guidance: Guidance): DenoiserSize {
  const [images, , height, width] = latents.shape as [number, number, number, number];
  return { images, height, width, ...guidanceShape(guidance) };
}

/** A history on the host: [B, T, 4, h, w], noisiest first. */
export async function readHistory({ tensor, frames, batch, noise }: History): Promise<ReadHistory> {
  const item = tensor.shape.slice(1);
  const read = async (from: DeviceTensor): Promise<NdArray> =>
    asArray(swapFirst(await from.read(), frames, batch, sizeOf(item)), [batch, frames, ...item]);
  return { latents: await read(tensor), ...(noise ? { noise: await read(noise) } : {}) };
}
