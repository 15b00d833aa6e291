/** Inverted latents in a safetensors file, with the settings that made them; read back only where they fit. */
import { createHash } from 'node:crypto';
import { InputError } from '../core/errors.ts';
import { type NdArray, ndarray } from '../core/ndarray.ts';
import { dim } from '../core/shape.ts';
import type { StoredTensor } from '../core/tensor-source.ts';
import type { FitMode } from '../io/fit.ts';
import type { RgbImage } from '../io/image.ts';
import { openSafetensors, writeSafetensors } from '../io/safetensors.ts';
import { fileSource } from '../node/files.ts';

/** What made the latents. */
export interface LatentSettings {
  /** Other settings of the inversion, for readers. */
  readonly [name: string]: unknown;
  readonly model: string;
  readonly fingerprint: string;
  /** What words of its prompts meant that stand for embeddings; absent for none. */
  readonly embeddings?: string;
  /** Name of the table by which kernels were chosen; absent for none. */
  readonly tuning?: string;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly numInferenceSteps: number;
  readonly inpaintStrength: number;
  readonly guidanceScale: number;
  readonly seed: number;
  /** How the picture was brought to this size; 'squash' where it is absent. */
  readonly fit?: FitMode;
  readonly width: number;
  readonly height: number;
  /** Of the picture as the model saw it: `pictureHash`. */
  readonly picture: string;
}

/** What an edit needs them to be, in the order in which it is checked; the model's name and the fit are for messages alone. */
export type Needed = Pick<
  LatentSettings,
  'model' | 'fingerprint' | 'numInferenceSteps' | 'inpaintStrength' | 'fit' | 'width' | 'height' | 'picture'
>;

/** What an edit would have inverted with; other latents are taken, with a note. */
export interface Expected {
  readonly prompt?: string | undefined;
  readonly negativePrompt?: string | undefined;
  readonly guidanceScale?: number | undefined;
  readonly embeddings?: string | undefined;
  readonly tuning?: string | undefined;
}

const FORMAT = 'pentimento.latents';

/** Inverted latents, and with a DDPM inversion the noise of the steps, [B, T, 4, H, W] each. */
export interface StoredLatents {
  readonly latents: NdArray;
  readonly noise?: NdArray | undefined;
}

/** @returns the file */
export function encodeLatents({ latents, noise }: StoredLatents, settings: LatentSettings): Uint8Array {
  const metadata = Object.fromEntries(Object.entries(settings).map(([key, value]) => [key, String(value)]));
  return writeSafetensors(
    {
      latents: { dtype: 'F32', shape: latents.shape, data: latents.data },
      ...(noise ? { noise: { dtype: 'F32', shape: noise.shape, data: noise.data } } : {}),
    },
    { format: FORMAT, ...metadata },
  );
}

/** SHA-256 of a picture's pixels, shortened. */
export function pictureHash({ data }: RgbImage): string {
  return createHash('sha256').update(data).digest('hex').slice(0, 16);
}

/**
 * Reads latents that `pentimento invert` wrote.
 * @param path of the file
 * @param needed settings of the edit that takes them
 * @param expected what the edit would have inverted with
 * @param note told where the latents were made with something else
 * @throws InputError when they were made by another model, with other settings or of another picture; WeightsError for a
 * damaged file
 */
export async function readLatents(
  path: string,
  needed: Needed,
  expected: Expected,
  note: (line: string) => void,
): Promise<StoredLatents> {
  const file = await openSafetensors(await fileSource(path));
  try {
    const { metadata } = file;
    const stored = file.tensors.get('latents');
    if (metadata['format'] !== FORMAT || stored?.dtype !== 'F32' || stored.shape.length !== 5) {
      throw new InputError({
        op: 'latents',
        problem: 'the file holds no inverted latents',
        path,
        fix: 'Make it with `pentimento invert`.',
      });
    }
    for (const [key, wanted] of Object.entries(needed)) {
      if (key !== 'model' && key !== 'fit' && metadata[key] !== String(wanted))
        throw mismatch(path, key, wanted, metadata, needed);
    }
    for (const [key, wanted] of Object.entries(expected)) {
      const made = metadata[key] ?? '';
      if (wanted === undefined || made === String(wanted)) continue;
      const said = (value: unknown): string => (value === '' && key === 'tuning' ? 'none' : `"${value}"`);
      note(`The latents were inverted with ${WORDS[key] ?? key} ${said(made)}, not ${said(wanted)}.`);
    }
    const read = async (name: string, { byteLength, shape }: StoredTensor): Promise<NdArray> => {
      const data = new Float32Array(byteLength / 4);
      await file.read(name, 0, new Uint8Array(data.buffer));
      return ndarray(data, shape);
    };
    const noise = file.tensors.get('noise');
    return {
      latents: await read('latents', stored),
      noise: noise?.dtype === 'F32' ? await read('noise', noise) : undefined,
    };
  } finally {
    await file.close?.();
  }
}

const OPTIONS: Readonly<Record<string, string>> = {
  numInferenceSteps: '--num-inference-steps',
  inpaintStrength: '--inpaint-strength',
};

const WORDS: Readonly<Record<string, string>> = {
  prompt: 'the prompt',
  negativePrompt: 'the negative prompt',
  guidanceScale: 'guidance scale',
  embeddings: 'the embeddings',
  tuning: 'the tuning table (which changes last bits)',
};

/** A model and its adapters, as latents name what made them. */
export function madeBy({ model, lora }: { readonly model: string; readonly lora: readonly string[] }): string {
  return [model, ...lora].join(' with ');
}

function mismatch(
  path: string,
  key: string,
  wanted: unknown,
  metadata: Readonly<Record<string, string>>,
  { model, fit }: Pick<Needed, 'model' | 'fit'>,
): InputError {
  if (key === 'fingerprint') {
    const received = metadata['model'] ?? 'unknown';
    return new InputError({
      op: 'latents',
      problem: 'another model made these latents',
      ...(model === received ? {} : { expected: model }),
      received,
      path,
      fix: [model, received].some(name => name.includes(' with '))
        ? 'Name that model with --model and its adapters with --lora, or invert again.'
        : 'Name that model with --model, or invert again.',
    });
  }
  const { fit: madeWith = 'squash' } = metadata;
  if (['width', 'height', 'picture'].includes(key) && fit !== undefined && madeWith !== fit) {
    return new InputError({
      op: 'latents',
      problem: 'the latents are of this picture fitted otherwise, or of another picture',
      expected: fit,
      received: madeWith,
      path,
      fix: `Pass --fit ${madeWith}, or invert again.`,
    });
  }
  if (key === 'width' || key === 'height') {
    return new InputError({
      op: 'latents',
      problem: 'the latents have another size',
      expected: `${key} ${wanted}`,
      received: `${metadata['width']}x${metadata['height']}`,
      path,
      fix: `Pass --size ${metadata['width']}x${metadata['height']}, or invert again.`,
    });
  }
  if (key === 'picture') {
    const fix = 'Name the picture that was inverted, or invert again.';
    return new InputError({ op: 'latents', problem: 'the latents are of another picture', path, fix });
  }
  const option = OPTIONS[key] ?? key;
  return new InputError({
    op: 'latents',
    problem: `the latents were made with another ${option}`,
    expected: String(wanted),
    received: metadata[key] ?? 'none',
    path,
    fix: `Pass ${option} ${metadata[key]}, or invert again.`,
  });
}

/** Number of steps that the latents cover. */
export function stepsIn(latents: NdArray): number {
  return dim(latents.shape, 1);
}
