/** A job of the queue: an edit of one picture as plain data, and the id that all who ask for the same edit arrive at. */
import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { editOf, type PlainEdit, type SettledEdit, settledEdit } from '../pipeline/batch/plain-edit.ts';
import { sha256Of } from './model-key.ts';
import { folderName, type PresignedTarget } from './result-store.ts';

/** Of the form of jobs; a worker refuses others. */
export const JOB_VERSION = 1;
/** Raised whenever the numbers of edits change, so that older results are not taken for those of this program. */
export const RESULTS_VERSION = 1;

/** A file by its URI, and what it must be. */
export interface JobFile {
  /** file, http or https. */
  readonly uri: string;
  /** Of its bytes, hex. */
  readonly sha256: string;
}

/** A folder below the worker's. */
export interface FolderTarget {
  /** Relative, with `/` between its parts. */
  readonly folder: string;
}

/** What is asked for. */
export interface FleetRequest {
  /** What is edited. */
  readonly picture: JobFile;
  /** What shall change, white; by default it is found. */
  readonly mask?: JobFile | undefined;
  /** What edits it. */
  readonly model: {
    /** A name for people. */
    readonly id: string;
    /** As `modelKey` makes it. */
    readonly key: string;
  };
  /** Prompts and settings; the seed is 0 by default, for the same edit shall be the same job. */
  readonly edit: PlainEdit;
  /** Where results go: a folder below the worker's, or addresses; by default the worker's folder. */
  readonly results?: FolderTarget | PresignedTarget | undefined;
}

/** A job as the queue carries it. */
export interface FleetJob extends Omit<FleetRequest, 'edit'> {
  /** Of its form. */
  readonly version: typeof JOB_VERSION;
  /** SHA-256, hex; also the queue's name of the job. */
  readonly id: string;
  /** Nothing left out. */
  readonly edit: SettledEdit;
}

const OP = 'job';
const REQUEST = { picture: 1, mask: 1, model: 1, edit: 1, results: 1 } as const;
const JOB = namesOf<FleetJob>({ ...REQUEST, version: 1, id: 1 });
const HASH = /^[0-9a-f]{64}$/;

/**
 * Settles a request.
 * @throws InputError or ShapeError naming what is wrong
 */
export function jobOf(request: FleetRequest): FleetJob {
  checkNames(OP, request, namesOf<FleetRequest>(REQUEST));
  const { picture, mask, model, results } = request;
  checkFile(picture, 'picture');
  if (mask !== undefined) checkFile(mask, 'mask');
  checkNames(OP, model, ['id', 'key']);
  checkText(model?.id, 'model.id');
  checkHash(model.key, 'model.key');
  if (results !== undefined) checkTarget(results);
  const edit = settledEdit(OP, { seed: 0, ...request.edit }, mask !== undefined);
  const settled = {
    version: JOB_VERSION,
    results: RESULTS_VERSION,
    picture: picture.sha256,
    mask: mask?.sha256 ?? null,
    model: model.key,
    edit,
  } satisfies JsonValue;
  return {
    version: JOB_VERSION,
    id: sha256Of(canonicalJson(settled)),
    picture: { uri: picture.uri, sha256: picture.sha256 },
    ...(mask === undefined ? {} : { mask: { uri: mask.uri, sha256: mask.sha256 } }),
    model: { id: model.id, key: model.key },
    edit,
    ...(results === undefined ? {} : { results }),
  };
}

/**
 * A job as it came from a queue, which anybody may have written to: everything is checked anew, and the id worked out again, so that no
 * job takes the place of another's result.
 * @throws InputError or ShapeError naming what is wrong
 */
export function checkJob(data: unknown): FleetJob {
  checkNames(OP, data, JOB);
  const { version, id, ...request } = data as FleetJob;
  if (version !== JOB_VERSION) {
    const fix = 'Let submitter and worker have the same version of this package.';
    throw new InputError({ op: OP, problem: 'a job of another version', expected: JOB_VERSION, value: version, fix });
  }
  checkNames(OP, request.edit, Object.keys(request.edit ?? {}));
  const job = jobOf({ ...request, edit: editOf(request.edit) });
  if (job.id === id) return job;
  throw new InputError({ op: OP, problem: 'the id is not that of the job', expected: job.id, value: id, path: 'id' });
}

/** The queue of a fleet's model: a queue a model, so that a worker can empty that of the model which is loaded. */
export function queueNameOf(fleet: string, key: string): string {
  if (!/^[\w-]{1,100}$/.test(fleet)) {
    const fix = 'Use letters, digits, "-" and "_".';
    throw new InputError({ op: 'queue', problem: 'no name of a queue', value: fleet, fix });
  }
  return `${fleet}.${key.slice(0, 16)}`;
}

function checkFile(file: JobFile, path: string): void {
  checkNames(OP, file, ['uri', 'sha256']);
  checkText(file?.uri, `${path}.uri`);
  checkHash(file.sha256, `${path}.sha256`);
}

function checkTarget(target: NonNullable<FleetRequest['results']>): void {
  checkNames(OP, target, ['folder', 'images', 'mask', 'json', 'existing']);
  if ('folder' in target) {
    checkNames(OP, target, ['folder']);
    checkText(target.folder, 'results.folder');
    folderName(OP, target.folder);
    return;
  }
  checkNames(OP, target, ['images', 'mask', 'json', 'existing']);
  const { images, mask, json, existing } = target;
  if (!Array.isArray(images) || images.length === 0) fail('results.images', 'a list of addresses', images);
  for (const [i, uri] of images.entries()) checkText(uri, `results.images[${i}]`);
  checkText(json, 'results.json');
  if (mask !== undefined) checkText(mask, 'results.mask');
  if (existing !== undefined) checkText(existing, 'results.existing');
}

function checkText(value: unknown, path: string): void {
  if (typeof value !== 'string' || value === '' || value.length > 8192)
    fail(path, 'a text of 1 to 8192 characters', value);
}

function checkHash(value: unknown, path: string): void {
  if (typeof value !== 'string' || !HASH.test(value)) fail(path, 'a SHA-256 of 64 digits in lower case', value);
}

function fail(path: string, expected: string, value: unknown): never {
  throw new InputError({ op: OP, problem: 'a wrong value', expected, value, path });
}
