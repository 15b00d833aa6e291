/** What is printed must arrive: a stream that fails is noticed, and the exit code says so. */
import { fstatSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';

/** A stream that did not take what was written. */
export interface StreamFailure {
  readonly stream: 'stdout' | 'stderr';
  /** The system's name of the reason, such as 'ENOSPC'; '' where it has none. */
  readonly code: string;
  readonly cause: Error;
}

/** The code of a program whose reader has gone: what a shell says of those that SIGPIPE ends. */
const READER_GONE = 141;

/**
 * Listens to streams from now on, so that a failed write ends no process by itself.
 * @returns waits until everything written is out, and tells of the first stream that failed
 */
export function watchStreams(streams: {
  readonly stdout?: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}): () => Promise<StreamFailure | undefined> {
  const failures: StreamFailure[] = [];
  const { stdout, stderr } = streams;
  const watched = [...(stdout ? [['stdout', stdout] as const] : []), ['stderr', stderr] as const];
  for (const [name, stream] of watched) {
    stream.on('error', (cause: Error) => {
      failures.push({ stream: name, code: 'code' in cause ? String(cause.code) : '', cause });
    });
  }
  return async () => {
    for (const [, stream] of watched) await new Promise<void>(resolve => stream.write('', () => resolve()));
    await new Promise(resolve => setImmediate(resolve)); // an error is told a turn after its write
    return failures[0];
  };
}

/** The exit code where a stream failed: what there is to say was said in vain. */
export function codeAfter(failure: StreamFailure | undefined, code: number): number {
  if (!failure || code !== 0) return code;
  return failure.code === 'EPIPE' ? READER_GONE : 1;
}

/** stdout. Node's own stream for files takes a short write, such as a full disk's, for a whole one. */
export function wholeStdout(): NodeJS.WriteStream {
  const { stdout } = process;
  if (!fstatSync(stdout.fd).isFile()) return stdout;
  const write = (chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void => {
    try {
      for (let at = 0; at < chunk.length; ) at += writeSync(stdout.fd, chunk, at);
      done();
    } catch (error) {
      done(error instanceof Error ? error : undefined);
    }
  };
  return Object.assign(new Writable({ write }), { fd: stdout.fd, isTTY: false }) as unknown as NodeJS.WriteStream;
}
