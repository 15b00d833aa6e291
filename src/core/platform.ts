/**
 * What the public types need of the platform (a page, a worker, Node, Deno, Bun): the platform's own type where the program
 * that imports this library has one, else the few members that the library uses. So the declarations of the package
 * compile with and without TypeScript's DOM library, and with and without Node's types.
 */

/**
 * The platform's class `Name` where the program knows it, else `Otherwise`.
 * `typeof globalThis` holds the classes that the program's own libraries and types declare.
 */
export type Platform<Name extends string, Otherwise> = typeof globalThis extends {
  readonly [K in Name]: {
    /** What the class makes. */
    readonly prototype: infer Instance;
  };
}
  ? Instance
  : Otherwise;

/** The signal that ends a call: an `AbortSignal`. */
export type AbortSignalLike = Platform<
  'AbortSignal',
  {
    /** True once the call shall end. */
    readonly aborted: boolean;
    /** What a call that ends rejects with. */
    readonly reason: unknown;
    /** Throws `reason` where `aborted` is true. */
    throwIfAborted(): void;
    /** Calls `listener` once the call shall end. */
    addEventListener(type: 'abort', listener: () => void): void;
    /** Takes a listener away again. */
    removeEventListener(type: 'abort', listener: () => void): void;
  }
>;

/** Bytes that the platform holds, maybe on disk: a `Blob`. */
export type BlobLike = Platform<
  'Blob',
  {
    /** Bytes. */
    readonly size: number;
    /** MIME type; '' where it is not known. */
    readonly type: string;
    /** All bytes. */
    arrayBuffer(): Promise<ArrayBuffer>;
    /** The bytes from `start` up to `end`; the end of all where absent. */
    slice(start?: number, end?: number): BlobLike;
  }
>;

/** A file that the user chose: a `File`. */
export type FileLike = Platform<
  'File',
  {
    /** Name without folders. */
    readonly name: string;
    /** Bytes. */
    readonly size: number;
    /** MIME type; '' where it is not known. */
    readonly type: string;
    /** All bytes. */
    arrayBuffer(): Promise<ArrayBuffer>;
    /** The bytes from `start` up to `end`; the end of all where absent. */
    slice(start?: number, end?: number): BlobLike;
  }
>;

/** An address as an object: `href` is what `fetch` gets. */
export type UrlLike = Platform<
  'URL',
  {
    /** The whole address. */
    readonly href: string;
    /** The whole address. */
    toString(): string;
  }
>;

/** The platform's `fetch`, or one that stands in for it. */
export type FetchLike = typeof globalThis extends {
  /** The platform's own. */
  fetch: infer Fetch;
}
  ? Fetch
  : (
      url: string,
      options?: { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignalLike },
    ) => Promise<FetchedLike>;

/** What {@link FetchLike} answers where the program knows no `Response`. */
export interface FetchedLike {
  /** Whether the status is 200 to 299. */
  readonly ok: boolean;
  /** HTTP status, such as 206. */
  readonly status: number;
  /** Headers by name, case ignored. */
  readonly headers: {
    /** The value; null where there is no such header. */
    get(name: string): string | null;
  };
  /** The whole body, however long. */
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** A canvas that stands in no document: an `OffscreenCanvas`. */
export type OffscreenCanvasLike = Platform<
  'OffscreenCanvas',
  {
    /** Pixels. */
    readonly width: number;
    /** Pixels. */
    readonly height: number;
    /** The picture as a file, PNG by default. */
    convertToBlob(): Promise<BlobLike>;
  }
>;

/** What a page or worker already holds as a picture. Where the program knows none of these, nothing has the type. */
export type PagePicture =
  | Platform<'ImageData', never>
  | Platform<'ImageBitmap', never>
  | Platform<'HTMLImageElement', never>
  | Platform<'HTMLCanvasElement', never>
  | Platform<'OffscreenCanvas', never>;
