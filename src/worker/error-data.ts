/** Errors over messages: what `toJSON` tells becomes an error of the same class again, with all its fields. */
import {
  DeviceError,
  DTypeError,
  type ErrorDetails,
  type ErrorJson,
  InputError,
  LoadError,
  NumericsError,
  PentimentoError,
  type PlainValue,
  ShaderError,
  ShapeError,
  WeightsError,
} from '../core/errors.ts';
import { checkByName } from '../core/known-names.ts';
import { DeviceLostError } from '../gpu/device-lost.ts';
import { OutOfMemoryError } from '../gpu/out-of-memory.ts';
import { StorageFullError } from '../io/kept/storage.ts';

const CLASSES: Readonly<Record<string, new (details: ErrorDetails) => PentimentoError>> = {
  ...{ DeviceError, DTypeError, InputError, LoadError, NumericsError, ShaderError, ShapeError, WeightsError },
};

/** An error in a message: one of this library as its JSON, any other reason as the platform clones it. */
export interface ErrorData {
  readonly json?: ErrorJson;
  readonly foreign?: unknown;
}

/** An error as data. */
function errorData(error: unknown): ErrorData {
  if (error instanceof PentimentoError) return { json: error.toJSON() };
  // Node before 21 makes {} of a DOMException.
  if (!(error instanceof DOMException) || structuredClone(error) instanceof DOMException) return { foreign: error };
  return { json: { class: error.name, message: error.message, op: 'worker', problem: error.message } };
}

/** The same, in words where an error holds what no message does. */
export function clonedErrorData(error: unknown): ErrorData {
  const data = errorData(error);
  try {
    if (data.json === undefined) structuredClone(error);
    return data;
  } catch {
    return errorData(new DeviceError({ op: 'worker', problem: String(error) }));
  }
}

/** What was thrown at the other end, or its like. */
export function errorFrom({ json, foreign }: ErrorData): unknown {
  return json === undefined ? foreign : errorFromJson(json);
}

/**
 * An error of its JSON: class, code and message are the same; `expected` and `received` are what JSON holds of them, and so is a cause of
 * another library.
 * @param json what an error's toJSON returned
 * @throws InputError for what is no object
 */
export function errorFromJson(json: ErrorJson): PentimentoError {
  checkByName('errorFromJson', json);
  const cause = isOwn(json.cause) ? errorFromJson(json.cause) : json.cause;
  const details: ErrorDetails = {
    ...{ op: json.op ?? '', problem: json.problem ?? json.message, expected: json.expected },
    ...(json.path === undefined ? {} : { path: json.path }),
    ...(json.fix === undefined ? {} : { fix: json.fix }),
    ...(cause === undefined ? {} : { cause }),
  };
  const error = shortage(json, details) ?? lost(json, details) ?? own(json, details);
  const fields = { name: json.class, ...json };
  for (const name of ['name', 'message', 'problem', 'expected', 'received', 'path', 'fix'] as const)
    Object.defineProperty(error, name, { value: fields[name], enumerable: name !== 'message', configurable: true });
  return error;
}

/** Of what was received JSON does not tell whether it was a caller's value, which messages show in quotes. */
function own(json: ErrorJson, details: ErrorDetails): PentimentoError {
  const Class = CLASSES[json.class];
  if (!Class) return new PentimentoError(json.code ?? 'input', { ...details, received: json.received });
  const asWords = new Class({ ...details, received: json.received });
  return asWords.message === json.message ? asWords : new Class({ ...details, value: json.received });
}

function shortage(json: ErrorJson, { op, path, cause }: ErrorDetails): PentimentoError | undefined {
  const { class: name, bytes, received } = json;
  if (!bytes) return undefined;
  if (name === 'StorageFullError') return new StorageFullError(path ?? '', bytes, cause);
  const what = / for (.*), beside /.exec(String(received))?.[1] ?? '';
  return name === 'OutOfMemoryError' ? new OutOfMemoryError(op, what, bytes, cause) : undefined;
}

function lost({ class: name, loss }: ErrorJson, { op, cause }: ErrorDetails): PentimentoError | undefined {
  if (name !== 'DeviceLostError' || !loss) return undefined;
  return new DeviceLostError(op, loss, cause === undefined ? {} : { cause });
}

function isOwn(value: PlainValue | ErrorJson | undefined): value is ErrorJson {
  const { class: name, op } = Object(value) as Partial<ErrorJson>;
  return typeof name === 'string' && typeof op === 'string';
}
