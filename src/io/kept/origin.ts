/** Where kept files come from: an address, a repository of the Hub, or any other folder; each as a stream that begins anywhere. */
import type { AbortSignalLike } from '../../core/platform.ts';
import type { ByteSource, FolderSource } from '../../core/tensor-source.ts';
import { contentRange } from '../url-ranges.ts';
import { leave, partsOf, request, type UrlOptions } from '../url-request.ts';

/** A file on its way. */
export interface Arrival {
  /** Its first byte. */
  readonly from: number;
  /** Of the whole file; undefined where the server does not tell. */
  readonly size: number | undefined;
  /** What the server calls this version of the file. */
  readonly validator: string | undefined;
  /** SHA-256 of the whole file, or git's SHA-1. */
  readonly hash: string | undefined;
  /** The bytes from `from` on, once. */
  chunks(signal: AbortSignalLike | undefined): AsyncGenerator<Uint8Array, void>;
  /** Ends the connection. */
  leave(): Promise<void>;
}

/** A file as a repository lists it. */
export interface Listed {
  readonly size: number;
  /** SHA-256, or git's SHA-1 of a small file. */
  readonly hash: string | undefined;
}

/** All files of a repository. */
export interface Listing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, Listed>;
}

/** Where a model's files come from. */
export interface Origin {
  /** Names the model among all that are kept. */
  readonly label: string;
  /** Asks a repository once; absent where nobody can tell what files there are. */
  list?(): Promise<Listing>;
  /**
   * Begins to fetch a file.
   * @param from its first byte that is wanted; a server may give all of it all the same
   * @returns undefined where there is none
   */
  open(path: string, from: number, signal: AbortSignalLike | undefined): Promise<Arrival | undefined>;
  /** What the server calls the file now; undefined where there is none. Absent where nobody can tell. */
  validator?(path: string, signal: AbortSignalLike | undefined): Promise<string | undefined>;
}

const HASH = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

/**
 * Files below an address.
 * @param addressOf of a file
 * @param isHub whether ETags are the Hub's: hashes
 */
export function urlOrigin(
  label: string,
  addressOf: (path: string) => Promise<string>,
  options: UrlOptions,
  isHub: boolean,
): Origin {
  const ask = (url: string, more: Parameters<typeof request>[2]): Promise<Response> =>
    request(url, options, { absentIsFine: true, ...more, signal: more.signal ?? options.signal });
  return {
    label,
    async open(path, from, signal): Promise<Arrival | undefined> {
      const url = await addressOf(path);
      const answer = await ask(url, { signal, ...(from > 0 && { range: [from, undefined] }) });
      if (isNone(answer, path)) {
        await leave(answer);
        return undefined;
      }
      return arrivalOf(answer, from, isHub);
    },
    async validator(path, signal): Promise<string | undefined> {
      const answer = await ask(await addressOf(path), { signal, method: 'HEAD' });
      await leave(answer);
      return isNone(answer, path) ? undefined : validatorOf(answer);
    },
  };
}

/** Development servers answer every unknown path with their start page. */
function isNone({ status, headers }: Response, path: string): boolean {
  return status === 404 || ((headers.get('content-type') ?? '').startsWith('text/html') && !/\.html?$/.test(path));
}

function validatorOf({ headers }: Response): string | undefined {
  return headers.get('etag') ?? headers.get('last-modified') ?? undefined;
}

function arrivalOf(answer: Response, asked: number, isHub: boolean): Arrival {
  const { headers, status } = answer;
  const range = contentRange(answer);
  const told = headers.has('content-encoding') ? null : headers.get('content-length');
  const from = status === 206 ? (range?.first ?? asked) : 0;
  // Who asks beyond the end is told the size alone.
  const whole = status === 416 ? headers.get('content-range')?.split('/')[1] : told;
  const size = status === 206 ? (range?.size ?? (told === null ? undefined : asked + Number(told))) : whole;
  const etag = headers.get('etag')?.replace(/^(W\/)?"(.*)"$/, '$2') ?? '';
  return {
    ...{ from, size: size === undefined || size === null ? undefined : Number(size) },
    validator: validatorOf(answer),
    hash: isHub && HASH.test(etag) ? etag : undefined,
    chunks: signal => partsOf(answer, signal),
    leave: () => leave(answer),
  };
}

/** Pieces in which a folder without addresses is read. */
const READ_BYTES = 2 ** 20;

/** Files of a folder of any kind, which lie in memory or are read by the caller's own code. */
export function folderOrigin(folder: FolderSource): Origin {
  return {
    label: folder.label,
    async open(path, from): Promise<Arrival | undefined> {
      if (!(await folder.has(path))) return undefined;
      const source = await folder.bytes(path);
      return {
        ...{ from: Math.min(from, source.byteLength), size: source.byteLength, validator: undefined, hash: undefined },
        chunks: signal => piecesOf(source, from, signal),
        leave: async () => source.close?.(),
      };
    },
  };
}

async function* piecesOf(
  source: ByteSource,
  from: number,
  signal: AbortSignalLike | undefined,
): AsyncGenerator<Uint8Array, void> {
  try {
    for (let at = from; at < source.byteLength; at += READ_BYTES) {
      signal?.throwIfAborted();
      const piece = new Uint8Array(Math.min(READ_BYTES, source.byteLength - at));
      await source.read(at, piece);
      yield piece;
    }
  } finally {
    await source.close?.();
  }
}
