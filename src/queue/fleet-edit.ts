/** One job on the device that is there: picture, edit, files. */
import type { RgbImage } from '../io/image.ts';
import { encodePng } from '../node/images.ts';
import { type EditedPictures, type PictureEdit, pictureEdit } from '../pipeline/batch/picture-edit.ts';
import { editOf } from '../pipeline/batch/plain-edit.ts';
import type { RunOutput } from '../pipeline/diffedit/types.ts';
import type { ProgressEvent } from '../pipeline/runtime/progress.ts';
import { isOutOfMemory } from './failures.ts';
import type { FleetJob } from './job.ts';
import type { FleetModel, LoadedModel } from './models.ts';
import type { NextPicture } from './next-picture.ts';
import type { ResultFile } from './result-store.ts';
import { shownUri } from './uri-rules.ts';

/** What an edit needs beside its job. */
export interface Bench {
  readonly model: FleetModel;
  readonly loaded: LoadedModel;
  readonly pictures: NextPicture;
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
      const opened = await loaded.take(model, { signal });
      const { fit, size, pasteBack, ...args } = editOf(job.edit);
      const edit = pictureEdit(picture, opened.editor, { fit, size, pasteBack }, mask, maskName(job));
      const output = await opened.editor.run({ ...args, ...edit.args, signal, onProgress });
      const total = performance.now() - start;
      return made(edit, picture, output, { ...output.timings, total }, opened.device);
    } catch (error) {
      signal.throwIfAborted();
      if (!isOutOfMemory(error) || !loaded.offload()) throw error;
    }
  }
}

function maskName({ mask }: FleetJob): string | undefined {
  return mask && shownUri(mask.uri);
}

function made(
  edit: PictureEdit,
  picture: RgbImage,
  output: RunOutput,
  timingsMs: Readonly<Record<string, number>>,
  device: string,
): Made {
  const results = edit.results(output);
  const { fitted, pasted } = edit;
  const outputSize = pasted ? picture : (results.images[0] ?? picture);
  const masked = output.mask && share(output.mask.mask.data);
  return {
    files: filesOf(results),
    timingsMs,
    facts: {
      ...(masked === undefined ? {} : { masked }),
      workingSize: sides(fitted?.working ?? picture),
      outputSize: sides(outputSize),
      timingsMs,
      device,
    },
  };
}

function filesOf({ images, mask }: EditedPictures): ResultFile[] {
  const png = (suffix: string, image: Parameters<typeof encodePng>[0]): ResultFile => ({
    suffix,
    bytes: encodePng(image),
    type: 'image/png',
  });
  return [
    ...images.map((image, i) => png(images.length === 1 ? '.png' : `.${i + 1}.png`, image)),
    ...(mask ? [png('.mask.png', mask)] : []),
  ];
}

function sides({ width, height }: { readonly width: number; readonly height: number }): object {
  return { width, height };
}

/** Share of the picture that the mask covers, 0 to 1. */
function share(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ?? 0;
  return Number((sum / values.length).toFixed(4));
}
