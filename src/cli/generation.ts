/** What `generate`, `img2img` and `inpaint` do alike: names of files, the run, its previews, sheet and report. */

import type { Command } from 'commander';
import { InputError } from '../core/errors.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import type { GreyImage, RgbImage } from '../io/image.ts';
import { sideBySide } from '../io/mask.ts';
import type { GenerationPipeline } from '../pipeline/image-generation/generation-pipeline.ts';
import type { GenerationOptions } from '../pipeline/image-generation/pretrained-options.ts';
import type { GenerationArgs, GenerationOutput } from '../pipeline/image-generation/types.ts';
import { Generator } from '../schedulers/generator.ts';
import { type Outside, type Result, type Timed, withLoaded } from './command.ts';
import { fewSteps } from './distilled.ts';
import type { GenerationOptionsTyped } from './generation-options.ts';
import { checkInputsKept, inputsOf } from './inputs.ts';
import { previewName, previewsOf } from './latent-previews.ts';
import { loadModel, type OpenPipeline } from './model.ts';
import { besides, checkOutput, encodeFor, writeAll } from './output.ts';
import { shown } from './pictures.ts';
import { givenOn } from './preset.ts';
import { samplerNamed } from './sampler-names.ts';

/** A pipeline that a command makes pictures with. */
type Maker<Args> = GenerationPipeline & { generate(args: Args): Promise<GenerationOutput> };

/** Its class. */
interface MakerClass<P> {
  fromPretrained(folder: FolderSource, options: GenerationOptions): Promise<P>;
}

/** What a command gives to `generate`, and makes of its pictures. */
export interface Prepared<Args> {
  readonly args: Partial<Args>;
  /** Pictures that stand before the results on the sheet. */
  readonly before: readonly (RgbImage | GreyImage)[];
  readonly report: Readonly<Record<string, unknown>>;
  /** From what the pipeline returns to what is written. */
  finish(images: readonly RgbImage[]): readonly RgbImage[];
}

/** A command's own part. */
export interface Making<P, Args> {
  /** As it was typed. */
  readonly typed: Command;
  readonly prompts: readonly string[];
  /** The picture's name on the command line. */
  readonly image?: string;
  readonly kind: MakerClass<P>;
  /** Called once the model is there, before its weights are. */
  prepare(pipe: P, note: (line: string) => void): Prepared<Args>;
}

/** More pictures than this are not shown on a sheet of one row. */
const MOST_SHOWN = 16;

/**
 * Refuses names of files that cannot be written, or would take the place of what is read, and prompts that do not go together.
 * @throws InputError
 */
export function checkFiles(
  o: GenerationOptionsTyped,
  prompts: readonly string[],
  { image = '', mask = '' }: { readonly image?: string | undefined; readonly mask?: string } = {},
): void {
  const negatives = o.negativePrompt?.length ?? 1;
  if (negatives !== 1 && negatives !== prompts.length) {
    const expected = prompts.length === 1 ? 'one' : `one, or ${prompts.length}`;
    const problem = 'prompts and their negatives differ in number';
    throw new InputError({ op: 'prompts', problem, expected, received: negatives, path: '--negative-prompt' });
  }
  const names = Object.values(outputNames(o, prompts, image !== ''));
  const outputs = o.previewEvery === undefined ? names : [...names, previewName(o.output)];
  for (const path of outputs) checkOutput(path, ['.png', '.jpg', '.jpeg']);
  checkInputsKept(outputs, inputsOf(image, { ...o, mask }));
}

/**
 * Makes the pictures and writes them.
 * @throws InputError and whatever model or device throw
 */
export async function makePictures<Args extends GenerationArgs, P extends Maker<Args>>(
  outside: Outside,
  o: GenerationOptionsTyped,
  { typed, prompts, image, kind, prepare }: Making<P, Args>,
): Promise<void> {
  const { signal } = outside;
  const names = outputNames(o, prompts, image !== undefined);
  await withLoaded<P>(
    progress => {
      const open: OpenPipeline<P> = async (folder, given) => {
        const { scheduler } = o;
        const sampler = scheduler && { scheduler: await samplerNamed(scheduler, folder, progress.note) };
        return kind.fromPretrained(folder, { ...given, ...sampler });
      };
      return loadModel(open, o, { progress, signal });
    },
    o,
    outside,
    async ({ pipe, model }, progress, seed) => {
      const config = pipe.scheduler.toJSON();
      const few = fewSteps({ model, preset: o.preset, config }, givenOn(typed), progress.note);
      const prepared = prepare(pipe, progress.note);
      const args = { ...prepared.args, ...few } as Args;
      const start = performance.now();
      const previews = await previewsOf(pipe, o.output, o.previewEvery, signal);
      try {
        const made = await pipe.generate({
          ...args,
          ...{ generator: new Generator(seed), callback: previews.callback, signal, onProgress: progress.report },
        });
        const images = prepared.finish(made.images as RgbImage[]);
        signal.throwIfAborted();
        await writeAll(render(images, prepared.before, names));
      } finally {
        await previews.end();
      }
      const { prompt: _, image: __, maskImage: ___, ...settings } = args as Record<string, unknown>;
      return {
        ...{ command: typed.name(), prompts, files: names, ...prepared.report, settings },
        scheduler: config,
        timingsMs: { total: performance.now() - start },
      } satisfies Result & Timed;
    },
  );
}

/** The files that will be written, by their names in the result. */
function outputNames(
  { output, numImagesPerPrompt }: GenerationOptionsTyped,
  prompts: readonly string[],
  isOfPicture: boolean,
): Record<string, string> {
  const count = prompts.length * numImagesPerPrompt;
  const images = Array.from({ length: count }, (_, i) => [`image${i + 1}`, besides(output, `${i + 1}`)]);
  return {
    ...(count === 1 ? { image: output } : Object.fromEntries(images)),
    ...((count > 1 || isOfPicture) && count <= MOST_SHOWN ? { sheet: besides(output, 'sheet', '.png') } : {}),
  };
}

function render(
  images: readonly RgbImage[],
  before: readonly (RgbImage | GreyImage)[],
  names: Readonly<Record<string, string>>,
) {
  const { sheet, ...rest } = names;
  const files = Object.values(rest).map((path, i) => encodeFor(path, images[i] as RgbImage));
  return sheet === undefined ? files : [...files, encodeFor(sheet, sideBySide([...before, ...images].map(shown)))];
}
