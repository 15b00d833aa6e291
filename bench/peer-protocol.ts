/**
 * What the benchmark and a peer's process say to each other: a JSON object a line, over stdin and stdout of
 * `node dist/bench-peer.js NAME`. One question at a time, each answered once; the process ends when its stdin does. What it prints
 * on stderr is shown only where it ends without an answer.
 */
import type { PeerName } from './schema.ts';

/** A row that a peer is asked to run, on numbers of its own making in [-1, 1). */
export interface AskedRow {
  /** As in the file. */
  readonly name: string;
  readonly op: string;
  readonly shape: Readonly<Record<string, number>>;
  readonly storage: Readonly<Record<string, string>>;
}

/** What a peer is asked. */
export type PeerQuestion =
  /** First: who are you? An engine that cannot choose the adapter of that name is missing. */
  | { readonly ask: 'hello'; readonly device?: string | undefined }
  /** Make the row ready, run it once and compare it; gives up the row before. */
  | { readonly ask: 'open'; readonly row: AskedRow }
  /** Run the open row and wait for the device. */
  | { readonly ask: 'sample' };

/** What it answers. */
export type PeerAnswer =
  /** To hello: package and version, or why the engine cannot run here. */
  | { readonly hello: PeerName; readonly package: string; readonly version: string | null; readonly missing?: string }
  /** To open: ms until the first run was done, and the relative L2 of its result against f64. */
  | { readonly opened: true; readonly firstMs: number; readonly error: number }
  /** To open: a row that the engine does not have. */
  | { readonly missing: string }
  /** To sample: ms of the clock and seconds of the processor over all threads, of one run. */
  | { readonly ms: number; readonly cpu: number }
  /** To either: it failed. */
  | { readonly failed: string };
