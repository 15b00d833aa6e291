/** The run of many pictures: which are left, what came of each, and the manifest's line of it. */

import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { canonicalJson } from '../core/canonical-json.ts';
import { type ErrorJson, LoadError, PentimentoError, ShaderError, WeightsError } from '../core/errors.ts';
import { DeviceLostError } from '../gpu/device-lost.ts';
import type { GreyImage, RgbImage } from '../io/image.ts';
import { pictureBytes } from '../io/load-image.ts';
import { isAddress } from '../io/sources.ts';
import { readImage } from '../node/images.ts';
import { PictureThread } from '../node/picture-thread.ts';
import { type EditJob, type EditManySuccess, editMany } from '../pipeline/batch/edit-many.ts';
import { shareOf } from '../pipeline/batch/picture-edit.ts';
import { editOf, type SettledEdit, settledEdit } from '../pipeline/batch/plain-edit.ts';
import type { BatchProgress } from './batch-progress.ts';
import { EXIT, type Outside, oneLine, PartlyDone } from './command.ts';
import { type EditOptions, plainEditOf } from './edit-options.ts';
import { checkIsFile, fileHash } from './file-hash.ts';
import type { Manifest, ManifestLine } from './manifest.ts';
import type { Loaded } from './model.ts';
import { encodeFor, type OutputFile, writeAll } from './output.ts';
import type { ResultFiles } from './output-names.ts';
import { inputName } from './picture-list.ts';
import { sizesOf } from './pictures.ts';
import { ALL_PHASES, withPreset } from './preset.ts';
import { inCommandWords } from './words.ts';

/** A picture, what is asked for, and what its result is called. */
export interface PictureToEdit {
  /** A path, or an address. */
  readonly source: string;
  /** How the manifest calls it. */
  readonly input: string;
  readonly name: string;
  readonly files: ResultFiles;
  readonly mask: string | undefined;
  readonly options: EditOptions;
  /** Whether an option was given, on the command line or in the picture's line of a jobs file. */
  readonly given: (name: string) => boolean;
  /** Whether its line gave the seed. */
  readonly ownSeed: boolean;
  /** Its line, for messages. */
  readonly place: string | undefined;
}

/** What a run works with. */
export interface RunPlace {
  readonly folder: string;
  readonly loaded: Loaded;
  readonly manifest: Manifest;
  readonly progress: BatchProgress;
  /** Told of settings; what was said is not said again. */
  readonly note: (line: string) => void;
  readonly outside: Outside;
  /** Of the pictures that have none of their own. */
  readonly seed: number;
  readonly typed: EditOptions;
}

/** A picture that failed. */
export interface FailedPicture {
  readonly input: string;
  readonly name: string;
  readonly error: ErrorJson;
}

/** How a picture is read. */
interface Reading {
  readonly signal: AbortSignal;
  readonly onWarning: (line: string) => void;
}

/** A picture on its way through the pipeline, with what its line of the manifest will say. */
interface Job extends EditJob {
  readonly data: Told;
}

interface Told {
  readonly picture: PictureToEdit;
  readonly seed: number;
  sha256?: string;
  id?: string;
  edit?: SettledEdit;
}

/** Runs pictures, of which some may be done. */
export class PictureRun {
  /** Milliseconds by phase, of all pictures. */
  readonly timingsMs: Record<string, number> = {};
  readonly failures: FailedPicture[] = [];
  made = 0;
  skipped = 0;
  readonly #pictures: readonly PictureToEdit[];
  readonly #place: RunPlace;
  readonly #hashes = new Map<string, Promise<string>>();
  readonly #edits = new Map<EditOptions, SettledEdit>();
  readonly #thread = new PictureThread();
  #lostBefore = false;

  constructor(pictures: readonly PictureToEdit[], place: RunPlace) {
    this.#pictures = pictures;
    this.#place = place;
  }

  /**
   * Edits what is left.
   * @throws the signal's reason; InputError where nothing can be written; PartlyDone where the device is lost again and again;
   * WeightsError, ShaderError and LoadError, which are of no picture
   */
  async all(): Promise<void> {
    const { loaded, progress, outside } = this.#place;
    progress.begin(this.#pictures.length);
    const onProgress: NonNullable<Parameters<typeof editMany<Job>>[2]>['onProgress'] = (event, { data }) =>
      progress.working(data.picture.name, event);
    try {
      for await (const result of editMany(loaded.pipe, this.#jobs(), { signal: outside.signal, onProgress })) {
        if (result.images) await this.#write(result);
        else await this.#failed(result.job.data, result.error);
      }
    } finally {
      await this.#thread.close();
    }
    if (this.skipped > 0) progress.note(`${this.skipped} of ${this.#pictures.length} pictures were done before.`);
  }

  /** What is left to do; pictures that failed before come last. */
  async *#jobs(): AsyncGenerator<Job> {
    const { manifest } = this.#place;
    const failedBefore = (p: PictureToEdit): boolean => manifest.line(p.name)?.error !== undefined;
    const first = this.#pictures.filter(picture => !failedBefore(picture));
    for (const picture of [...first, ...this.#pictures.filter(failedBefore)]) {
      const job = await this.#jobOf(picture);
      if (job) yield job;
    }
  }

  /** Undefined for what is done. */
  async #jobOf(picture: PictureToEdit): Promise<Job | undefined> {
    const { outside } = this.#place;
    const seed = picture.options.seed ?? this.#place.seed;
    const told: Told = { picture, seed };
    const onWarning = (line: string): void => this.#place.progress.note(`warning: ${line}`);
    const reading = { signal: outside.signal, onWarning };
    try {
      const source = await this.#hashed(picture.source);
      told.sha256 = source.sha256;
      told.edit = this.#editOf(picture, seed);
      const mask = picture.mask === undefined ? undefined : await this.#maskHash(picture.mask);
      told.id = this.#idOf(told.edit, source.sha256, mask);
      if (this.#isDone(picture, told.id)) {
        this.skipped++;
        this.#place.progress.skipped();
        return undefined;
      }
      const { mask: path } = picture;
      const image = (): Promise<RgbImage> => this.#read(picture.source, source.bytes, reading);
      const given =
        path === undefined ? {} : { maskImage: (): Promise<RgbImage> => this.#read(path, undefined, reading) };
      return { ...editOf(told.edit), ...given, image, data: told };
    } catch (error) {
      outside.signal.throwIfAborted();
      return { image: () => Promise.reject(error), data: told };
    }
  }

  /** Large ones are decoded in a thread, so that the device is fed meanwhile. */
  #read(source: string, bytes: Uint8Array | undefined, { signal, onWarning }: Reading): Promise<RgbImage> {
    if (bytes) return this.#thread.decode(bytes, source, signal, onWarning);
    if (isAddress(source)) return readImage(source, { signal, onWarning });
    return this.#thread.read(/^file:/i.test(source) ? fileURLToPath(source) : source, signal, onWarning);
  }

  /** The edit with what the model recommends, and the seed. */
  #editOf({ options, given, mask }: PictureToEdit, seed: number): SettledEdit {
    const known = this.#edits.get(options);
    if (known) return known;
    const { loaded, note } = this.#place;
    const phases = ALL_PHASES.filter(phase => phase !== 'generateMask' || mask === undefined);
    const { options: o } = withPreset(options, given, phases, loaded.pipe.recommended, note);
    const edit = settledEdit('edit', plainEditOf({ ...o, seed }), mask !== undefined);
    this.#edits.set(options, edit);
    return edit;
  }

  /** SHA-256 of all that determines the result. */
  #idOf(edit: SettledEdit, picture: string, mask: string | undefined): string {
    const { loaded, typed } = this.#place;
    const tiles = typed.enableVaeTiling || typed.vaeTile !== undefined ? (typed.vaeTile ?? true) : false;
    const model = {
      ...{ fingerprint: loaded.fingerprint, dtype: typed.dtype, adapters: [...loaded.lora] },
      ...{ mendQuirks: typed.mendQuirks === true, tiles, tilesBelow: (typed.allowTiles && typed.maxMemory) || null },
    };
    const text = canonicalJson({ version: 1, picture, mask: mask ?? null, model, edit });
    return createHash('sha256').update(text).digest('hex');
  }

  #isDone({ name, files }: PictureToEdit, id: string): boolean {
    const { manifest, folder, typed } = this.#place;
    const line = manifest.line(name);
    if (typed.force || line?.id !== id || !line.files) return false;
    const wanted = Object.values(files);
    const has = Object.values(line.files);
    return wanted.every(file => has.includes(file) && sizeOf(join(folder, file)) > 0);
  }

  /** The hash of a picture's file; of an address its bytes too, so that it is fetched once. */
  async #hashed(source: string): Promise<{ readonly sha256: string; readonly bytes?: Uint8Array }> {
    if (!isAddress(source)) return { sha256: await hashOfFile(source, this.#place.outside.signal) };
    const { bytes = new Uint8Array() } = (await pictureBytes(source, this.#place.outside.signal)) ?? {};
    return { sha256: createHash('sha256').update(bytes).digest('hex'), bytes };
  }

  /** One mask may be of all pictures. */
  #maskHash(path: string): Promise<string> {
    const known = this.#hashes.get(path);
    if (known) return known;
    const hash = this.#hashed(path).then(({ sha256 }) => sha256);
    this.#hashes.set(path, hash);
    return hash;
  }

  async #write({ job, images, mask, edit, output, ms, picture: read }: EditManySuccess<Job>): Promise<void> {
    const { folder, manifest, progress, outside, typed } = this.#place;
    const { picture } = job.data;
    const pictures = [...images, ...(mask ? [mask] : [])];
    const paths = Object.values(picture.files).map(file => join(folder, file));
    try {
      await writeAll(await Promise.all(pictures.map((image, i) => this.#encoded(paths[i] ?? '', image))));
    } catch (error) {
      if (!isTooLong(error)) throw error; // it would be so of every other
      return this.#failed(job.data, error);
    }
    this.#lostBefore = false;
    const masked = output.mask === undefined ? undefined : shareOf(output.mask.mask);
    const timingsMs = { ...output.timings, total: ms };
    for (const [phase, took] of Object.entries(output.timings ?? {})) {
      this.timingsMs[phase] = (this.timingsMs[phase] ?? 0) + took;
    }
    const { width, height } = read;
    const sizes = edit.fitted ? sizesOf(edit.fitted, edit.pasted) : undefined;
    await manifest.append({
      ...this.#lineOf(job.data),
      ...{ files: picture.files, masked, pictureSize: { width, height } },
      ...{ workingSize: sizes?.workingSize, outputSize: sizes?.outputSize },
      timingsMs: Object.fromEntries(Object.entries(timingsMs).map(([phase, took]) => [phase, Math.round(took)])),
    });
    this.made++;
    const told = paths.map(path => `${path}\n`).join('');
    if (!typed.json) progress.above(() => outside.stdout.write(told));
    progress.made(picture.name, ms, masked);
  }

  async #encoded(path: string, image: RgbImage | GreyImage): Promise<OutputFile> {
    return /\.png$/i.test(path) ? { path, bytes: await this.#thread.encode(image) } : encodeFor(path, image);
  }

  async #failed(told: Told, error: unknown): Promise<void> {
    const { manifest, progress, outside } = this.#place;
    if (isOfModel(error)) throw error;
    const json = jsonOf(error);
    const { input, name } = told.picture;
    await manifest.append({ ...this.#lineOf(told), error: json });
    const said = error instanceof PentimentoError ? inCommandWords(error, 'edit') : json.message;
    const message = oneLine(said);
    this.failures.push({ input, name, error: { ...json, message } });
    progress.failed(name, message);
    const lost = error instanceof DeviceLostError;
    if (lost && this.#lostBefore && !outside.signal.aborted) {
      const done = `${this.made + this.skipped} of ${this.#pictures.length} pictures are done`;
      throw new PartlyDone(
        EXIT.failed,
        `${message} That was so twice in a row; ${done}. The same command goes on.`,
        error,
      );
    }
    this.#lostBefore = lost;
  }

  /** What lines of success and of failure have. */
  #lineOf({ picture, seed, sha256, id, edit }: Told): ManifestLine {
    const { loaded, typed, folder } = this.#place;
    const mask = picture.mask === undefined ? undefined : inputName(picture.mask, folder);
    return {
      ...{ version: 1, name: picture.name, input: picture.input, mask, sha256, id },
      ...{ model: loaded.model, fingerprint: loaded.fingerprint, dtype: typed.dtype, device: loaded.device },
      ...{ edit, seed, ...(picture.ownSeed ? { ownSeed: true } : {}), finished: new Date().toISOString() },
    } as ManifestLine;
  }
}

/** Bytes; 0 of what is not there. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** @throws InputError where there is none */
async function hashOfFile(source: string, signal: AbortSignal): Promise<string> {
  const path = /^file:/i.test(source) ? fileURLToPath(source) : source;
  await checkIsFile('edit', path, source, { folders: true }); // a pipe cannot be read twice either
  return fileHash(path, signal).catch(async (error: unknown) => {
    signal.throwIfAborted();
    await readImage(path, { signal }); // says what is wrong with the file
    throw error;
  });
}

/** Of errors of others, the name and the message. */
function jsonOf(error: unknown): ErrorJson {
  if (error instanceof PentimentoError) return error.toJSON();
  return error instanceof Error
    ? { class: error.name, message: error.message }
    : { class: 'Error', message: String(error) };
}

/** Whether every other picture would fail so too. */
function isOfModel(error: unknown): boolean {
  return error instanceof WeightsError || error instanceof ShaderError || error instanceof LoadError;
}

/** Whether it was this name that could not be written. */
function isTooLong(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'ENAMETOOLONG';
}
