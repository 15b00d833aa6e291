/** One job on the device that is there: picture, edit, files. */
import type { GreyImage, RgbImage } from '../io/image.ts';
import { type EditedPictures, type PictureEdit, pictureEdit, shareOf } from '../pipeline/batch/picture-edit.ts';
import { editOf } from '../pipeline/batch/plain-edit.ts';
import type { RunOutput } from '../pipeline/diffedit/types.ts';
import type { ProgressEvent } from '../pipeline/runtime/progress.ts';
import { CannotOpen, isOutOfMemory } from './failures.ts';
import type { FleetJob } from './job.ts';
import type { FleetModel, LoadedModel, OpenFleetModel } from './models.ts';
import type { NextPicture } from './next-picture.ts';
import type { ResultFile } from './result-store.ts';
import { shownUri } from './uri-rules.ts';

/** What an edit needs beside its job. */
export interface Bench {
  readonly model: FleetModel;
  readonly loaded: LoadedModel;
  readonly pictures: NextPicture;
  /** PNG of a picture. */
  readonly encode: (image: RgbImage | GreyImage) => Promise<Uint8Array>;
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
  /** Called when the picture is there, and the device begins. */
  readonly onStart: () => void;
}

/** What an edit made. */
export interface Made {
  readonly files: readonly ResultFile[];
  readonly timingsMs: Readonly<Record<string, number | undefined>>;
  /** What the JSON says of it. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/**
 * Makes the edit of a job. Where the device has too little memory it is tried once more with offload, which stays on.
 * @throws what fetching, fitting and the pipeline throw; the signal's reason
 */
export async function makeEdit(job: FleetJob, bench: Bench): Promise<Made> {
  const { model, loaded, pictures, signal, onProgress } = bench;
  const picture = await pictures.take(job.picture, signal);
  const mask = job.mask === undefined ? undefined : await pictures.take(job.mask, signal);
  bench.onStart();
  for (;;) {
    try {
      const start = performance.now();
      const opened = await opening(loaded.take(model, { signal }));
      const { fit, size, pasteBack, ...args } = editOf(job.edit);
      const edit = pictureEdit(picture, opened.editor, { fit, size, pasteBack }, mask, maskName(job));
      const output = await opened.editor.run({ ...args, ...edit.args, signal, onProgress });
      const total = performance.now() - start;
      const timingsMs = { ...output.timings, total };
      const facts = factsOf(edit, picture, output, timingsMs, opened.device);
      return { files: await filesOf(edit.results(output), bench.encode), timingsMs, facts };
    } catch (error) {
      signal.throwIfAborted();
      if (!isOutOfMemory(error) || !loaded.offload()) throw error;
    }
  }
}

async function opening(opened: Promise<OpenFleetModel>): Promise<OpenFleetModel> {
  return opened.catch((cause: unknown) => {
    throw new CannotOpen('the model cannot be opened', { cause });
  });
}

function maskName({ mask }: FleetJob): string | undefined {
  return mask && shownUri(mask.uri);
}

function factsOf(
  { fitted, pasted, results }: PictureEdit,
  picture: RgbImage,
  output: RunOutput,
  timingsMs: Readonly<Record<string, number>>,
  device: string,
): Made['facts'] {
  const outputSize = pasted ? picture : (results(output).images[0] ?? picture);
  const masked = output.mask && shareOf(output.mask.mask);
  return {
    ...(masked === undefined ? {} : { masked }),
    workingSize: sides(fitted?.working ?? picture),
    outputSize: sides(outputSize),
    timingsMs,
    device,
  };
}

async function filesOf({ images, mask }: EditedPictures, encode: Bench['encode']): Promise<ResultFile[]> {
  const png = async (suffix: string, image: RgbImage | GreyImage): Promise<ResultFile> => ({
    suffix,
    bytes: await encode(image),
    type: 'image/png',
  });
  const files: ResultFile[] = [];
  for (const [i, image] of images.entries())
    files.push(await png(images.length === 1 ? '.png' : `.${i + 1}.png`, image));
  return mask ? [...files, await png('.mask.png', mask)] : files;
}

function sides({ width, height }: { readonly width: number; readonly height: number }): object {
  return { width, height };
}
