/** `--preview-every`: what the latents of a run look like, in a file beside the output while it is made. */
import { rm } from 'node:fs/promises';
import type { NdArray } from '../core/ndarray.ts';
import type { RgbImage } from '../io/image.ts';
import { fitLatentColours, latentPictures } from '../io/latent-colours.ts';
import { sideBySide } from '../io/mask.ts';
import { resize } from '../io/resize.ts';
import type { StepCallback } from '../pipeline/diffusion/sampling-loop.ts';
import type { GenerationPipeline } from '../pipeline/image-generation/generation-pipeline.ts';
import { Generator } from '../schedulers/generator.ts';
import { besides, encodeFor, writeAll } from './output.ts';
import { shown } from './pictures.ts';

/** Previews of a run. */
export interface Previews {
  /** For `generate`; undefined where none were asked for. */
  readonly callback: StepCallback | undefined;
  /** Removes the file, if there was a preview. */
  end(): Promise<void>;
}

/** Latents of a side of the picture whose latents are known. */
const CHART = 16;
/** Latents of a side of a patch of one colour. */
const PATCH = 2;

/** The file of previews. */
export function previewName(output: string): string {
  return besides(output, 'preview', '.png');
}

/**
 * Prepares previews: colours are fitted to a chart that the model's own VAE encodes.
 * @param every steps between two; none where undefined
 * @throws as encodeImages
 */
export async function previewsOf(
  pipe: GenerationPipeline,
  output: string,
  every: number | undefined,
  signal: AbortSignal,
): Promise<Previews> {
  if (every === undefined) return { callback: undefined, end: async () => undefined };
  const chart = colourChart(CHART * pipe.vaeScaleFactor, PATCH * pipe.vaeScaleFactor);
  const colours = fitLatentColours(await pipe.encodeImages(chart, { signal }), chart);
  const path = previewName(output);
  let written = false; // before that a file of this name is somebody else's
  return {
    async callback(step, _timestep, latents) {
      if ((step + 1) % every !== 0) return;
      await writeAll([encodeFor(path, preview(latentPictures(calmed(await latents()), colours), pipe.vaeScaleFactor))]);
      written = true;
    },
    async end() {
      if (written) await rm(path, { force: true });
    },
  };
}

/** Latents no louder than those of pictures: some samplers keep the noise at its full level. */
function calmed({ data, shape }: NdArray): NdArray {
  const power = data.reduce((sum, value) => sum + value * value, 0) / data.length;
  const scale = Math.min(1, 1 / Math.sqrt(power));
  return { data: Float32Array.from(data, value => value * scale), shape };
}

function preview(pictures: readonly RgbImage[], scale: number): RgbImage {
  const large = pictures.map(each => shown(resize(each, each.width * scale, each.height * scale, 'bicubic')));
  return large.length === 1 ? (large[0] as RgbImage) : sideBySide(large);
}

/** Patches of colours by chance, the same ones always. */
function colourChart(side: number, patch: number): RgbImage {
  const columns = Math.ceil(side / patch);
  const values = new Generator(0).uniform([columns * columns * 3]);
  const data = new Uint8Array(side * side * 3);
  for (let i = 0; i < data.length; i++) {
    const [x, y] = [Math.floor(i / 3) % side, Math.floor(i / 3 / side)];
    const at = Math.floor(y / patch) * columns + Math.floor(x / patch);
    data[i] = 255 * (values[3 * at + (i % 3)] ?? 0);
  }
  return { width: side, height: side, data };
}
