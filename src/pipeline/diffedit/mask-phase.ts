/** Where source and target prompt disagree about a noisy picture: DiffEdit's first phase. */

import type { NdArray } from '../../core/ndarray.ts';
import { blurMap, dilateMap, maskToImages } from '../../io/mask.ts';
import { randnBatch } from '../../schedulers/generator.ts';
import { cleanupShape, maskCleanup, maskThreshold } from '../../tensor/ops/diffusion.ts';
import { noiseOfDraws } from '../diffusion/image-latents.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import { drawsFrom, type EncodedPictures } from '../diffusion/latent-draws.ts';
import type { Embeddings } from '../diffusion/prompt-encoder.ts';
import { embeddingRows, pickRows } from '../diffusion/rows.ts';
import { runSteps, type StepEvent } from '../diffusion/sampling-loop.ts';
import { asArray, type DeviceCall } from '../runtime/device-call.ts';
import { guidanceAt, guidanceShape } from './guidance.ts';
import type { MaskRequest } from './request.ts';
import type { MaskOutput } from './types.ts';

/** The networks' part of a mask request. */
export interface EncodedMask {
  readonly source: Embeddings;
  readonly target: Embeddings;
  readonly pictures: EncodedPictures;
}

/**
 * One UNet batch a map: all blocks of prompts on the same noisy latents, without negatives where they cancel.
 * @see diffusers StableDiffusionDiffEditPipeline.generate_mask
 */
export async function* maskPhase(
  call: DeviceCall,
  model: LatentDiffusion,
  request: MaskRequest,
  { source, target, pictures }: EncodedMask,
): AsyncGenerator<StepEvent, MaskOutput> {
  const { batch, maps, timestep, generator, guidance, gain } = request;
  const report = call.phase('mask', maps);
  const kept = call.kept.phase('mask', generator);
  const [, , height, width] = pictures.values.shape as [number, number, number, number];
  const drawn = noiseOfDraws(pictures, { repeat: maps, generator });
  const shape = [batch * maps, model.denoiser.channels, height, width];
  const noise = asArray(randnBatch(shape, generator), shape);
  const rows = promptRows(source, target, request.mendQuirks);
  const draws = drawsFrom(pictures, model.autoencoder.scalingFactor);
  const size = { images: batch, height, width, draws, ...guidanceShape(guidance) };
  const program = await model.denoiser.map(call, size, rows);
  const { io } = program;
  io.pictures.copyFrom(pictures.values);
  const mix = model.sampler.addNoiseCoefficients(timestep);
  const firstNonFinite = model.denoiser.watch(io);
  yield* runSteps(call, {
    phase: 'mask',
    ...{ report, kept, state: { tensor: io.map } },
    timesteps: new Array<number>(maps).fill(timestep),
    submit: map => {
      const own = Array.from({ length: batch }, (_, b) => b * maps + map);
      const drawnBy = own.map(row => row % (draws.pictures * maps));
      if (drawn) io.drawNoise?.write(pickRows(drawn, drawnBy).data);
      io.levelNoise.write(pickRows(noise, own).data);
      model.denoiser.set(io, timestep, {
        ...guidanceAt(guidance, timestep, model.sampler),
        ...{ outFromX0: mix.sample, sigma: mix.noise },
        mapWeight: gain / maps,
        mapFirst: map === 0,
        stepNumber: map,
      });
      return program.run(call);
    },
    latents: async () => asArray(await io.latents.read(), io.latents.shape),
    firstNonFinite,
  });
  const mask = await call.once('threshold', (graph, scope) => {
    const { ratio, threshold, continuous, cleanup, mendQuirks } = request;
    const found = scope.tensor(io.map.shape, 'float32', 'mask');
    const into = graph.input(found);
    maskThreshold(graph.input(io.map), into, {
      ...{ ratio, mean: mendQuirks ? 'image' : 'batch', threshold },
      continuous: continuous || cleanup,
    });
    if (cleanup) {
      const scratch = scope.tensor(cleanupShape(batch, height, width), 'uint32', 'labels');
      maskCleanup(into, graph.input(scratch), { threshold, lift: continuous });
    }
    return found;
  });
  const sides = [batch, height, width];
  return finish(asArray(mask.data, sides), asArray(await io.map.read(), sides), request);
}

/** Blocks in the order of the kernel: S = a + g (b - a), T = c + g (d - c), or S and T. The original has positive and negative swapped. */
function promptRows(source: Embeddings, target: Embeddings, mend: boolean): NdArray[] {
  const blocks = [source, target].flatMap(({ positive, negative }) => {
    if (!negative) return [positive];
    return mend ? [negative, positive] : [positive, negative];
  });
  return blocks.flatMap(block => embeddingRows(block));
}

function finish(hard: NdArray, map: NdArray, { refine, asPictures }: MaskRequest): MaskOutput {
  const { erode, dilate, blur } = refine;
  let mask = hard;
  if (erode) mask = inverted(dilateMap(inverted(mask), erode));
  if (dilate) mask = dilateMap(mask, dilate);
  if (blur) mask = blurMap(mask, blur);
  return { mask, map, ...(asPictures ? { images: maskToImages(mask) } : {}) };
}

function inverted(mask: NdArray): NdArray {
  return { ...mask, data: mask.data.map(v => 1 - v) };
}
