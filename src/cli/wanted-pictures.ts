/** Which pictures a command is about, and what is asked for each: names on its command line, or the lines of a jobs file. */
import { InputError, type PentimentoError, ShapeError } from '../core/errors.ts';
import { type FitModel, fitSize } from '../io/fit.ts';
import { sizeText } from '../io/image.ts';
import { settledEdit } from '../pipeline/batch/plain-edit.ts';
import { type EditOptions, plainEditOf } from './edit-options.ts';
import { readJobs } from './jobs-file.ts';
import { inputName, listPictures, nameOfSource } from './picture-list.ts';
import type { PictureToEdit } from './picture-run.ts';
import { fitOptions } from './pictures.ts';

/** A picture before its result has a name. */
export type Wanted = Omit<PictureToEdit, 'name' | 'files'> & {
  /** Of the picture, below the folder that was named. */
  readonly below: string;
  /** As a line of a jobs file wants it. */
  readonly output?: string | undefined;
};

/**
 * The pictures, with everything checked that needs no model.
 * @param names files, folders, globs and addresses; none with a jobs file
 * @param given whether an option was given on the command line
 * @param folder that results go to, which is not searched
 * @throws InputError naming what is wrong, and in which line
 */
export async function wantedPictures(
  names: readonly string[],
  typed: EditOptions,
  given: (name: string) => boolean,
  folder: string,
): Promise<Wanted[]> {
  const { jobs } = typed;
  if (jobs !== undefined && names.length > 0) {
    const fix = 'Name the pictures in the file, or leave --jobs out.';
    throw new InputError({ op: 'edit', problem: 'both pictures and --jobs', fix, path: names[0] ?? '' });
  }
  const wanted =
    jobs === undefined ? await listed(names, typed, given, folder) : await linesOf(jobs, typed, given, folder);
  checkEdits(wanted);
  return wanted;
}

async function listed(
  names: readonly string[],
  typed: EditOptions,
  given: (name: string) => boolean,
  folder: string,
): Promise<Wanted[]> {
  const pictures = await listPictures(names, folder);
  const common = { mask: typed.mask, options: typed, given, ownSeed: false, place: undefined };
  return pictures.map(({ source, name }) => ({ source, below: name, input: inputName(source, folder), ...common }));
}

async function linesOf(
  path: string,
  typed: EditOptions,
  given: (name: string) => boolean,
  folder: string,
): Promise<Wanted[]> {
  const lines = await readJobs(path);
  return lines.map(({ place, picture, mask = typed.mask, output, options }) => {
    // A line that gives one size takes back the other kind.
    const size = {
      ...(options['size'] ? { keepSize: false } : {}),
      ...(options['keepSize'] ? { size: undefined } : {}),
    };
    return {
      ...{ source: picture, below: nameOfSource(picture), input: inputName(picture, folder), place, mask, output },
      options: { ...typed, ...size, ...options } as EditOptions,
      given: (name: string) => Object.hasOwn(options, name) || given(name),
      ownSeed: options['seed'] !== undefined,
    };
  });
}

/** Checks what each picture is asked for, as far as no model is needed. @throws InputError */
function checkEdits(wanted: readonly Wanted[]): void {
  const checked = new Set<unknown>();
  for (const { options, mask, place } of wanted) {
    if (checked.has(options)) continue;
    checked.add(options);
    for (const prompt of ['source', 'target'] as const) {
      if (options[`${prompt}Prompt`] !== undefined) continue;
      const fix = `Give ${prompt} in the line, or --${prompt} for all lines.`;
      throw new InputError({ op: 'jobs', problem: `a line without a ${prompt} prompt`, path: place ?? '', fix });
    }
    try {
      settledEdit('edit', plainEditOf({ ...options, seed: 0 }), mask !== undefined);
    } catch (error) {
      const isInput = error instanceof InputError || error instanceof ShapeError;
      if (place === undefined || !isInput) throw error;
      throw inLine(error, place);
    }
  }
}

/**
 * Checks the sizes that the model shall work at.
 * @throws InputError before any picture is read
 */
export function checkSizes(pictures: readonly PictureToEdit[], model: FitModel): void {
  const checked = new Set<string>();
  for (const { options, place } of pictures) {
    const key = options.size === undefined ? '' : sizeText(options.size);
    if (options.size === undefined || checked.has(key)) continue;
    checked.add(key);
    try {
      fitSize(model.defaultSize, model, fitOptions(options));
    } catch (error) {
      throw place === undefined || !(error instanceof InputError) ? error : inLine(error, place);
    }
  }
}

/** The same error with the line that it is of. */
function inLine({ problem, expected, received, path, fix }: PentimentoError, place: string): InputError {
  const at = path === undefined ? place : `${place}, ${path}`;
  return new InputError({
    ...{ op: 'jobs', problem, expected, received, path: at },
    ...(fix === undefined ? {} : { fix }),
  });
}
