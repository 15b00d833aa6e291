/**
 * What the benchmark and a peer's process say to each other: a JSON object a line, over stdin and stdout of
 * `node dist/bench-peer.js NAME --folder DIR --version V --adapter JSON`. One question at a time, each answered once; the process ends when its stdin does. What it prints
 * on stderr is shown only where it ends without an answer.
 */
import type { BenchAdapter, PeerName } from './schema.ts';

/**
 * A row that a peer is asked to run, on seeded numbers of the same kind as ours. Of op 'network' it is an exported
 * network, of whose result it is only seen that it is finite.
 */
export interface AskedRow {
  /** As in the file. */
  readonly name: string;
  readonly op: string;
  readonly shape: Readonly<Record<string, number>>;
  readonly storage: Readonly<Record<string, string>>;
  /** Of op 'network': the ONNX file. */
  readonly file?: string | undefined;
}

/** What a peer is asked. */
export type PeerQuestion =
  /** First: who are you? The adapter stands in the command line. */
  | { readonly ask: 'hello' }
  /** Make the row ready, run it once and compare it; gives up the row before. */
  | { readonly ask: 'open'; readonly row: AskedRow }
  /** Run the open row and wait for the device. */
  | { readonly ask: 'sample' };

/** What it answers. */
export type PeerAnswer =
  /** To hello: package, version, the adapter that it got and its name in the driver's words. */
  | {
      readonly hello: PeerName;
      readonly package: string;
      readonly version: string;
      readonly adapter: BenchAdapter;
      readonly driverName: string;
    }
  /**
   * To open: ms until the first run was done, the relative L2 of its result against f64, null where it is not finite, and in
   * which of the engine's operations it was said, the fastest of those that are right. What is wrong gives no samples.
   */
  | {
      readonly opened: true;
      readonly firstMs: number;
      readonly error: number | null;
      readonly form: string;
      readonly wrong?: true;
    }
  /** To hello: why the engine cannot run here. To open: why it does not have the row. */
  | { readonly missing: string }
  /** To sample: ms of the clock and seconds of the processor over all threads, of one run. */
  | { readonly ms: number; readonly cpu: number }
  /** To either: it failed. */
  | { readonly failed: string };
