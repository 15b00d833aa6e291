/** An edit as the page does it: the mask first, so that it can be seen and changed, then inversion and edit with previews. */
import {
  type FittedImage,
  fitLatentColours,
  Generator,
  type LatentColours,
  type NdArray,
  type ProgressEvent,
  type RgbImage,
  type RunArgs,
  type RunOutput,
} from 'pentimento';
import type { WorkerPipeline } from 'pentimento/worker';
import { Mask } from './mask.ts';
import { drawLatents } from './preview.ts';
import type { Asked } from './settings-file.ts';

/** What an edit works on. */
export interface Subject {
  readonly photo: RgbImage;
  readonly fitted: FittedImage;
  /** Pixels of a side of what one value of a mask stands for. */
  readonly cell: number;
}

/** How it is watched and ended. */
export interface Watch {
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
  readonly preview: HTMLCanvasElement;
}

/** Milliseconds between two previews: each waits for the device. */
const PREVIEW_MS = 300;
/** What of the settings decides on the mask. */
const OF_THE_MASK = [
  ...['numInferenceSteps', 'numMapsPerMask', 'maskEncodeStrength', 'maskThresholdingRatio', 'maskMode', 'maskCleanup'],
  ...['erode', 'dilate', 'blur', 'guidanceInterval', 'guidanceRescale'],
];
/** What of them decides on nothing but it; `run` is not told where the mask is given. */
const ONLY_OF_THE_MASK = [
  ...['numMapsPerMask', 'maskEncodeStrength', 'maskThresholdingRatio', 'maskCleanup', 'erode', 'dilate', 'blur'],
  'maskGuidanceScale',
];

/** `run`'s arguments of a try. */
export function runArguments(asked: Asked, { photo, fitted }: Subject): RunArgs {
  const { sourcePrompt, targetPrompt, negativePrompt, seed, settings } = asked;
  const { image, ...fit } = fitted;
  return {
    ...(settings as Partial<RunArgs>),
    ...(negativePrompt === undefined ? {} : { negativePrompt }),
    ...{ image, sourcePrompt, targetPrompt, seed },
    // Squashed is as diffusers does it, and that is the whole picture.
    ...(fitted.fit === 'squash' ? {} : { pasteBack: { image: photo, fit } }),
  };
}

/** Says when two tries have the same mask. */
export function maskKey({ sourcePrompt, targetPrompt, seed, settings, fit, crop }: Asked): string {
  const own = [...OF_THE_MASK, 'maskGuidanceScale', 'guidanceScale'].map(name => settings[name]);
  return JSON.stringify([sourcePrompt, targetPrompt, seed, fit, crop, own]);
}

/** Finds the mask, as values that can be adjusted. */
export async function findMask(
  pipe: WorkerPipeline,
  asked: Asked,
  { fitted }: Subject,
  { signal, onProgress }: Watch,
): Promise<Mask> {
  const { sourcePrompt, targetPrompt, seed, settings } = asked;
  const guidanceScale = settings['maskGuidanceScale'] ?? settings['guidanceScale'];
  const own = Object.entries({ ...settings, guidanceScale }).filter(
    ([name, value]) => value !== undefined && (OF_THE_MASK.includes(name) || name === 'guidanceScale'),
  );
  const { mask } = await pipe.generateMask({
    ...Object.fromEntries(own),
    ...{ image: fitted.image, sourcePrompt, targetPrompt, continuous: true },
    ...{ generator: new Generator(seed), signal, onProgress },
  });
  const [height = 0, width = 0] = mask.shape.slice(-2);
  return new Mask(mask.data, width, height, settings['maskMode'] === 'soft');
}

/** Edits, and keeps what the next edit of the same picture can use again. */
export class Editor {
  /** Of the inversion that was done last. */
  #inverted: { readonly key: string; readonly latents: NdArray } | undefined;
  #colours: LatentColours | undefined;

  /** Another picture. */
  forget(): void {
    this.#inverted = undefined;
    this.#colours = undefined;
  }

  /** @throws the signal's reason, and what `run` throws */
  async edit(pipe: WorkerPipeline, asked: Asked, subject: Subject, mask: Mask, watch: Watch): Promise<RgbImage> {
    const args = Object.entries(runArguments(asked, subject)).filter(([name]) => !ONLY_OF_THE_MASK.includes(name));
    const key = inversionKey(asked);
    const known = this.#inverted?.key === key ? this.#inverted.latents : undefined;
    const steps = pipe.runSteps({
      ...(Object.fromEntries(args) as unknown as RunArgs),
      ...{ maskImage: mask.values(), signal: watch.signal, onProgress: watch.onProgress },
      // The latents of a DDPM inversion are worth nothing without its noise.
      ...(known ? { imageLatents: known } : { returnLatents: asked.settings['inversion'] !== 'ddpm' }),
    });
    let last = 0;
    for (;;) {
      const { done, value } = await steps.next();
      if (done) {
        const { images, latents } = value as RunOutput<RgbImage[]>;
        if (latents) this.#inverted = { key, latents };
        const [image] = images;
        if (image) return image;
        throw new Error('the model made no picture');
      }
      const first = value.phase === 'invert' && value.step === 0;
      if (!first && performance.now() - last < PREVIEW_MS) continue;
      const latents = await value.latents();
      if (first) this.#colours = fitLatentColours(latents, subject.fitted.image);
      if (this.#colours) {
        drawLatents(watch.preview, latents, this.#colours);
        watch.preview.hidden = false;
      }
      last = performance.now();
    }
  }
}

function inversionKey({ sourcePrompt, seed, settings, fit, crop }: Asked): string {
  const own = Object.entries(settings).filter(
    ([name]) => ![...ONLY_OF_THE_MASK, 'maskMode', 'maskExponent'].includes(name),
  );
  return JSON.stringify([sourcePrompt, seed, fit, crop, own.sort()]);
}
