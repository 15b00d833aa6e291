import { PassThrough } from 'node:stream';
import { runCommand } from '../../src/cli/program.ts';

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line in this process; `onStdout` and `onStderr` may abort when a line appears. */
export async function pentimento(
  args: readonly string[],
  options: {
    signal?: AbortSignal;
    stdin?: NodeJS.ReadStream;
    onStdout?: (text: string) => void;
    onStderr?: (text: string) => void;
  } = {},
): Promise<Finished> {
  const text = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => {
    const through = new PassThrough();
    through.on('data', chunk => {
      text[name] += chunk;
      if (name === 'stderr') options.onStderr?.(text.stderr);
      else options.onStdout?.(text.stdout);
    });
    return through as unknown as NodeJS.WriteStream;
  };
  const signal = options.signal ?? new AbortController().signal;
  const outside = {
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    signal,
    ...(options.stdin ? { stdin: options.stdin } : {}),
  };
  const code = await runCommand(args, outside);
  await new Promise(setImmediate);
  return { code, ...text };
}
