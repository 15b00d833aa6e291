/** What `loadTextualInversion` is given: files, folders or numbers, and the words that shall mean them. */
import { InputError } from '../../core/errors.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import { dim } from '../../core/shape.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import { type AdapterFile, adapterBytes } from '../../io/adapter-file.ts';
import { closeUnread } from '../../io/sources.ts';
import { readTextualInversion, readTextualInversionFolder, type TextualInversion } from '../../io/textual-inversion.ts';
import type { NamedInversion } from './textual-inversion.ts';

const OP = 'loadTextualInversion';

/**
 * An embedding: a file (from `fileSource` or `urlSource`, a Blob or File, or its bytes), a folder that holds
 * learned_embeds.safetensors or learned_embeds.bin, or the vectors themselves, [D] or [n, D].
 */
export type EmbeddingSource = AdapterFile | FolderSource | NdArray;

/** How embeddings are loaded. */
export interface TextualInversionOptions {
  /**
   * The word that means the embedding in prompts, or one for each source; by default the one that the file names, else the
   * file's own name without its ending. Vectors themselves need it, and may have as many words as there are vectors.
   */
  readonly token?: string | readonly string[] | undefined;
  /** Ends the loading with its reason; nothing has changed then. */
  readonly signal?: AbortSignalLike | undefined;
}

/** An embedding that is there from the beginning. */
export interface EmbeddingInput {
  /** A file, a folder, or vectors. */
  readonly source: EmbeddingSource;
  /** The word that means it; as for `loadTextualInversion`. */
  readonly token?: string | readonly string[] | undefined;
}

const OPTIONS = namesOf<TextualInversionOptions>({ token: 1, signal: 1 });

/**
 * Reads embeddings and names them.
 * @throws InputError for what is no embedding, for another number of tokens than sources, and where a word is named nowhere;
 * WeightsError for damaged files; the signal's reason
 */
export async function readInversions(
  given: EmbeddingSource | readonly EmbeddingSource[],
  options: TextualInversionOptions,
): Promise<readonly NamedInversion[]> {
  const list = Array.isArray(given) ? (given as readonly EmbeddingSource[]) : [given as EmbeddingSource];
  const named: NamedInversion[] = [];
  let handedOn = 0;
  try {
    const { sources, tokens } = withTokens(list, options);
    for (const [i, source] of sources.entries()) {
      options.signal?.throwIfAborted();
      handedOn++; // what is refused there is closed there
      const inversion = await read(source);
      named.push({ ...inversion, token: tokens?.[i] ?? inversion.token ?? ownName(inversion) });
    }
  } catch (error) {
    await closeUnread(list.slice(handedOn));
    throw error;
  }
  return named;
}

/** The sources, vectors by themselves, and a word for each where there are words. */
function withTokens(
  list: readonly EmbeddingSource[],
  options: TextualInversionOptions,
): { readonly sources: readonly EmbeddingSource[]; readonly tokens: readonly string[] | undefined } {
  checkNames(OP, options, OPTIONS);
  const { token } = options;
  if (token !== undefined && ![token].flat().every(word => typeof word === 'string')) {
    const [problem, expected] = ['not a token', 'a word, or a word for each embedding'];
    throw new InputError({ op: OP, problem, expected, received: token, path: 'token' });
  }
  const tokens = token === undefined ? undefined : typeof token === 'string' ? [token] : [...token];
  const [only] = list;
  const sources = tokens && tokens.length > 1 && list.length === 1 && isArray(only) ? rowsOf(only) : list;
  if (sources.length === 0 || (tokens && tokens.length !== sources.length)) {
    const count = sources.length;
    const [problem, expected, received] =
      count === 0
        ? ['no embedding', 'one or several', 'an empty list']
        : ['not one token for each embedding', `${count} token${count === 1 ? '' : 's'}`, tokens?.length];
    throw new InputError({ op: OP, problem, expected, received, path: count === 0 ? 'source' : 'token' });
  }
  return { sources, tokens };
}

async function read(source: EmbeddingSource): Promise<TextualInversion> {
  if (isArray(source)) return { token: undefined, vectors: ndarray(source.data, source.shape), label: 'the array' };
  if (isFolder(source)) return readTextualInversionFolder(source);
  return readTextualInversion(adapterBytes(OP, source));
}

/** The vectors of an array, each by itself. */
function rowsOf({ data, shape }: NdArray): NdArray[] {
  const [count, width] = shape.length === 2 ? [dim(shape, 0), dim(shape, 1)] : [1, data.length];
  return Array.from({ length: count }, (_, i) => ndarray(data.slice(i * width, (i + 1) * width), [width]));
}

/** "charturner" for a file charturner.pt that names no word, as the web UI has it. */
function ownName({ label }: TextualInversion): string {
  const name = /([^\\/]+)\.(?:safetensors|pt|bin|ckpt)$/i.exec(label)?.[1];
  if (name !== undefined) return name;
  const fix = "Pass { token: '<word>' }.";
  throw new InputError({ op: OP, problem: 'the embedding names no token', path: label, fix });
}

function isArray(source: EmbeddingSource | undefined): source is NdArray {
  return typeof source === 'object' && source !== null && 'shape' in source && 'data' in source;
}

function isFolder(source: EmbeddingSource): source is FolderSource {
  return typeof source === 'object' && source !== null && 'has' in source && 'bytes' in source;
}
