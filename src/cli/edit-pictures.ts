/** `pentimento edit` of many pictures: a folder of results, and a manifest by which the same command goes on. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { InputError } from '../core/errors.ts';
import { isAddress } from '../io/sources.ts';
import { readImage } from '../node/images.ts';
import { BatchProgress } from './batch-progress.ts';
import { EXIT, newSeed, type Outside, PartlyDone, withPipeline } from './command.ts';
import { CONTACT_SHEET, renderContactSheet } from './contact-sheet.ts';
import type { EditOptions } from './edit-options.ts';
import { holdFolder } from './folder-lock.ts';
import { checkInputsKept, inputsOf } from './inputs.ts';
import { MANIFEST, Manifest } from './manifest.ts';
import { checkOutput, removeLeftovers, writeAll } from './output.ts';
import { nameResults } from './output-names.ts';
import { isFolder } from './picture-list.ts';
import { PictureRun, type PictureToEdit } from './picture-run.ts';
import { ALL_PHASES, givenOn, withPreset } from './preset.ts';
import { checkSizes, type Wanted, wantedPictures } from './wanted-pictures.ts';

/** Where many pictures go unless told. */
const FOLDER = 'edited';

/** @throws InputError for options that one picture has no use for */
export function refuseOptionsOfMany({ force, contactSheet }: EditOptions): void {
  const fix = 'Leave it out, or name a folder with -o.';
  const given = force ? '--force' : contactSheet ? '--contact-sheet' : undefined;
  if (given === undefined) return;
  throw new InputError({ op: 'edit', problem: `${given} is for several pictures`, fix });
}

/**
 * Edits pictures into a folder.
 * @param names files, folders, globs and addresses; none with a jobs file
 * @throws InputError before anything is loaded; PartlyDone where pictures failed, or it was interrupted
 */
export async function editPictures(
  names: readonly string[],
  typed: EditOptions,
  command: Command,
  outside: Outside,
): Promise<void> {
  const folder = checkedFolder(typed);
  const wanted = await wantedPictures(names, typed, givenOn(command), folder);
  // A mask of all pictures is no matter of one of them.
  if (typed.mask !== undefined) await readImage(typed.mask, { signal: outside.signal });
  const held = await holdFolder(folder);
  let manifest: Manifest | undefined;
  try {
    manifest = await Manifest.read(join(folder, MANIFEST));
    const pictures = named(wanted, manifest, folder);
    await checkFiles(pictures, { folder, typed, manifest, leftBehind: held.interrupted });
    await editAll(pictures, { folder, typed, manifest, command, outside });
  } finally {
    await manifest?.close();
    await held.release();
  }
}

/** What the pictures of a call share. */
interface Shared {
  readonly folder: string;
  readonly typed: EditOptions;
  readonly manifest: Manifest;
  readonly command: Command;
  readonly outside: Outside;
}

async function editAll(pictures: readonly PictureToEdit[], shared: Shared): Promise<void> {
  const { folder, typed, manifest, command, outside } = shared;
  const seed = typed.seed ?? manifest.seed ?? newSeed();
  const progress = new BatchProgress(outside.stderr);
  const said = new Set<string>();
  const note = (line: string): void => {
    if (!said.has(line)) progress.note(line); // most lines of a jobs file have the same said of them
    said.add(line);
  };
  const failed = await withRun();
  if (failed === 0) return;
  const line = `edit: ${failed} of ${pictures.length} pictures failed. The same command tries them again.`;
  throw new PartlyDone(EXIT.some, line);

  async function withRun(): Promise<number> {
    let run: PictureRun | undefined;
    const work: Parameters<typeof withPipeline>[2] = async loaded => {
      const start = performance.now();
      const phases = ALL_PHASES.filter(phase => phase !== 'generateMask' || typed.mask === undefined);
      const { report } = withPreset(typed, givenOn(command), phases, loaded.pipe.recommended, note);
      checkSizes(pictures, loaded.pipe);
      run = new PictureRun(pictures, { folder, loaded, manifest, progress, note, outside, seed, typed });
      const sheetOf = async () => (typed.contactSheet ? await writeSheet(folder, manifest) : {});
      await run.all().catch(async error => {
        if (outside.signal.aborted && manifest.lines.length > 0) await sheetOf(); // of what is done
        throw error;
      });
      const sheet = await sheetOf();
      const { made, skipped, failures, timingsMs } = run;
      return {
        command: 'edit',
        folder,
        files: { manifest: join(folder, MANIFEST), ...sheet },
        ...{ pictures: pictures.length, done: made, skipped, failed: failures },
        ...report,
        timingsMs: { ...timingsMs, total: performance.now() - start },
      };
    };
    try {
      await withPipeline({ ...typed, seed }, outside, work, progress);
    } catch (error) {
      throw ended(error, run, pictures.length, outside);
    }
    for (const { name, error } of run?.failures ?? []) outside.stderr.write(`failed: ${name}: ${error.message}\n`);
    return run?.failures.length ?? 0;
  }
}

/** What is said of a call that came to no end. */
function ended(error: unknown, run: PictureRun | undefined, total: number, { signal }: Outside): unknown {
  if (!run || !signal.aborted) return error;
  const line = `interrupted, ${run.made + run.skipped} of ${total} pictures are done. The same command goes on.`;
  return new PartlyDone(EXIT.interrupted, line, error);
}

async function writeSheet(folder: string, manifest: Manifest): Promise<{ contactSheet: string }> {
  const path = join(folder, CONTACT_SHEET);
  await writeAll([{ path, bytes: new TextEncoder().encode(renderContactSheet(manifest.lines)) }]);
  return { contactSheet: path };
}

/** The folder, where the options fit to several pictures. */
function checkedFolder({ output = FOLDER, latents }: EditOptions): string {
  const fail = (problem: string, fix: string, path?: string): never => {
    throw new InputError({ op: 'edit', problem, fix, ...(path === undefined ? {} : { path }) });
  };
  if (latents !== undefined) fail('--latents are of one picture', 'Leave them out, or name one picture.', latents);
  if (!isFolder(output) && /\.(png|jpe?g)$/i.test(output)) {
    fail('several pictures go to a folder', 'Name a folder with -o, such as -o edited.', output);
  }
  const folder = output.length > 1 ? output.replace(/[/\\]+$/, '') || output : output;
  checkOutput(join(folder, MANIFEST), ['.jsonl']);
  return folder;
}

function named(wanted: readonly Wanted[], manifest: Manifest, folder: string): PictureToEdit[] {
  // The results of a picture that was moved are those of where it is now; of one that is there they are its own.
  const there = manifest.lines.filter(({ input }) => isAddress(input) || existsSync(resolve(folder, input)));
  const results = nameResults(
    wanted.map(({ input, below, output, place, options, mask }) => {
      return { input, name: below, output, place, count: options.numImagesPerPrompt, mask: mask === undefined };
    }),
    manifest.names(),
    there.flatMap(({ name, files }) => (files ? Object.values(files) : [name])),
  );
  return wanted.map(({ below: _, output: __, ...picture }, i) => ({
    ...picture,
    ...(results[i] ?? { name: '', files: {} }),
  }));
}

/** Refuses to write over what was read, or is of others, and removes what a kill left behind. */
async function checkFiles(
  pictures: readonly PictureToEdit[],
  { folder, typed, manifest, leftBehind }: Pick<Shared, 'folder' | 'typed' | 'manifest'> & { leftBehind: boolean },
): Promise<void> {
  const files = pictures.flatMap(picture => Object.values(picture.files));
  const own = [MANIFEST, ...(typed.contactSheet ? [CONTACT_SHEET] : [])];
  const inputs = pictures.flatMap(({ source, mask }) => [
    { path: source, name: 'a picture' },
    ...(mask === undefined ? [] : [{ path: mask, name: 'a mask' }]),
  ]);
  const outputs = [...files, ...own].map(file => join(folder, file));
  checkInputsKept(outputs, [...inputs, ...inputsOf('', typed)]);
  // A folder in the place of a file, or the other way round, would end the run in the middle.
  for (const file of files) checkOutput(join(folder, file), ['.png', '.jpg', '.jpeg']);
  const foreign = files.find(file => !manifest.tellsOf(file) && existsSync(join(folder, file)));
  if (foreign !== undefined && !leftBehind && !typed.force) {
    const problem = 'a file of this name is there, and the manifest does not tell of it';
    const fix = 'Name another folder with -o, or give --force to write over it.';
    throw new InputError({ op: 'output', problem, path: join(folder, foreign), fix });
  }
  await removeLeftovers(outputs);
}
