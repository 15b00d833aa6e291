/** Where source and target prompt disagree about a noisy picture: DiffEdit's first phase. */

import { InputError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, type Shape, sameShape } from '../../core/shape.ts';
import { blurMap, dilateMap, maskToImages } from '../../io/mask.ts';
import { randnBatch } from '../../schedulers/index.ts';
import { maskThreshold } from '../../tensor/ops/diffusion.ts';
import { embeddingRows } from '../diffusion/denoiser.ts';
import type { Generators } from '../diffusion/generators.ts';
import { drawLatents, type EncodedPictures } from '../diffusion/image-latents.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { Embeddings } from '../diffusion/prompt-encoder.ts';
import { pickRows } from '../diffusion/rows.ts';
import type { Sampler } from '../diffusion/sampler.ts';
import { runSteps, type StepEvent } from '../diffusion/sampling-loop.ts';
import { asArray, copyOf, type DeviceCall } from '../runtime/device-call.ts';
import { checkMaskArgs, stepsOf, withDefaults } from './checks.ts';
import type { GenerateMaskArgs, MaskOutput } from './types.ts';

type Defaulted =
  | 'numMapsPerMask'
  | 'maskEncodeStrength'
  | 'maskThresholdingRatio'
  | 'numInferenceSteps'
  | 'guidanceScale';

/** Arguments with the defaults filled in. */
export type MaskSettings = GenerateMaskArgs & { readonly [K in Defaulted]-?: number };

/**
 * Fills in the defaults and checks everything that needs no model.
 * @throws InputError or ShapeError
 */
export function maskSettings(op: string, a: GenerateMaskArgs): MaskSettings {
  const settings = withDefaults(a, {
    numMapsPerMask: 10,
    maskEncodeStrength: 0.5,
    maskThresholdingRatio: 3,
    numInferenceSteps: 50,
    guidanceScale: 7.5,
  });
  checkMaskArgs(op, settings);
  return settings;
}

/**
 * Checks that every target has its source.
 * @param source [B, L, D] of the source's embeddings
 * @param target of the target's
 * @throws InputError where they differ
 */
export function checkPair(op: string, source: Shape, target: Shape): void {
  const [expected, received] = [source.slice(0, 2), target.slice(0, 2)];
  if (sameShape(expected, received)) return;
  throw new InputError({
    op,
    problem: 'source and target differ in number or length',
    expected,
    received,
    fix: 'Pass as many source prompts as target prompts.',
  });
}

/** The timestep whose noise the maps get. */
export function maskTimestep(op: string, sampler: Sampler, s: MaskSettings): number {
  const timesteps = sampler.timestepsFor(s.numInferenceSteps);
  return timesteps[
    timesteps.length - stepsOf(op, timesteps.length, s.maskEncodeStrength, 'maskEncodeStrength')
  ] as number;
}

export interface MaskInputs {
  readonly settings: MaskSettings;
  readonly timestep: number;
  readonly source: Embeddings;
  readonly target: Embeddings;
  readonly pictures: EncodedPictures;
  readonly generator: Generators;
  readonly mendQuirks: boolean;
}

/**
 * One UNet batch a map: all blocks of prompts on the same noisy latents.
 * @see diffusers StableDiffusionDiffEditPipeline.generate_mask
 */
export async function* maskPhase(
  call: DeviceCall,
  model: LatentDiffusion,
  inputs: MaskInputs,
): AsyncGenerator<StepEvent, MaskOutput> {
  const { settings: s, timestep, source, target, pictures, generator } = inputs;
  const report = call.phase('mask', s.numMapsPerMask);
  model.scheduler.setTimesteps(s.numInferenceSteps); // for whoever reads its timesteps afterwards
  const batch = dim(target.positive.shape, 0);
  const maps = s.numMapsPerMask;
  const z = drawLatents(pictures, batch, { repeat: maps, generator, scaling: model.autoencoder.scalingFactor });
  const noise = asArray(randnBatch(z.shape, generator), z.shape);
  const noisy = model.scheduler.addNoise(z, noise, timestep);
  const [, , height, width] = z.shape as [number, number, number, number];
  const guided = s.guidanceScale > 1;
  const rows = promptRows(source, target, inputs.mendQuirks);
  const program = await model.denoiser.map(call, { images: batch, height, width, guided }, rows);
  const { io } = program;
  let latents = noisy;
  yield* runSteps(call, {
    phase: 'mask',
    report,
    timesteps: new Array<number>(maps).fill(timestep),
    submit: map => {
      const own = Array.from({ length: batch }, (_, b) => b * maps + map);
      latents = pickRows(noisy, own);
      io.latents.write(latents.data);
      model.denoiser.set(io, timestep, { guidance: s.guidanceScale, mapWeight: 1 / maps, mapFirst: map === 0 });
      program.run();
    },
    latents: async () => copyOf(latents),
  });
  const mask = await call.once('threshold', (graph, scope) => {
    const target = scope.tensor(io.map.shape, 'float32', 'mask');
    maskThreshold(graph.input(io.map), graph.input(target), {
      ratio: s.maskThresholdingRatio,
      mean: inputs.mendQuirks ? 'image' : 'batch',
      threshold: s.threshold,
      continuous: s.continuous,
    });
    return target;
  });
  const shape = [batch, height, width];
  return finish(asArray(mask.data, shape), asArray(await io.map.read(), shape), s);
}

/** Blocks in the order of the kernel: S = a + g (b - a), T = c + g (d - c). The original has positive and negative swapped. */
function promptRows(source: Embeddings, target: Embeddings, mend: boolean): NdArray[] {
  const blocks = [source, target].flatMap(({ positive, negative }) => {
    if (!negative) return [positive];
    return mend ? [negative, positive] : [positive, negative];
  });
  return blocks.flatMap(block => embeddingRows(block));
}

function finish(hard: NdArray, map: NdArray, s: MaskSettings): MaskOutput {
  let mask = hard;
  if (s.erode) mask = inverted(dilateMap(inverted(mask), s.erode));
  if (s.dilate) mask = dilateMap(mask, s.dilate);
  if (s.blur) mask = blurMap(mask, s.blur);
  return { mask, map, ...(s.outputType === 'pil' ? { images: maskToImages(mask) } : {}) };
}

function inverted(mask: NdArray): NdArray {
  return { ...mask, data: mask.data.map(v => 1 - v) };
}
