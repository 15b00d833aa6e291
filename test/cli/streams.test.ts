/** What cannot be printed is no success: full disks, closed pipes, of this program and of the bin. */
import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { runCommand } from '../../src/cli/program.ts';

/** A stream that takes nothing. */
function broken(code: string): NodeJS.WriteStream {
  const error = Object.assign(new Error(`${code}: write`), { code, syscall: 'write' });
  return new Writable({ write: (_chunk, _encoding, done) => done(error) }) as unknown as NodeJS.WriteStream;
}

/** Runs a command with one stream that takes nothing; what the other one got. */
async function run(args: readonly string[], name: 'stdout' | 'stderr', code: string) {
  let text = '';
  const other = new PassThrough().on('data', chunk => {
    text += chunk;
  }) as unknown as NodeJS.WriteStream;
  const streams = { stdout: other, stderr: other, [name]: broken(code) };
  const ended = await runCommand(args, { ...streams, signal: new AbortController().signal });
  return { ended, text };
}

describe('a stream that takes nothing', () => {
  it.each([['--version'], ['devices'], ['devices --json'], ['edit --help']])('ends %s with an error', async args => {
    const { ended, text } = await run(args.split(' '), 'stdout', 'ENOSPC');
    expect(ended).toBe(1);
    expect(text).toBe(
      'error: stdout: what was printed cannot be written: got no space left. Send it elsewhere, or make room.\n',
    );
  });

  it('ends quietly where its reader has gone, as SIGPIPE would end it', async () => {
    expect(await run(['--version'], 'stdout', 'EPIPE')).toEqual({ ended: 141, text: '' });
  });

  it('keeps the code of what failed before', async () => {
    for (const reason of ['ENOSPC', 'EPIPE']) {
      expect(await run(['edit'], 'stderr', reason)).toEqual({ ended: 2, text: '' });
    }
  });
});

/** Runs the bin by a shell. */
function bin(redirected: string): Promise<{ code: number | null; stderr: string }> {
  const node = `"${process.execPath}" --import ./test/support/run-typescript.mjs src/cli/main.ts`;
  const child = spawn('bash', ['-c', redirected.replace('pentimento', node)], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', chunk => {
    stderr += chunk;
  });
  return new Promise(done => child.on('close', code => done({ code, stderr })));
}

describe('the bin', () => {
  it('fails where stdout is full', async () => {
    const { code, stderr } = await bin('pentimento --version > /dev/full');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: stdout: .* got no space left\..*\n$/)]);
  });

  it('fails where stderr is full, and keeps its code', async () => {
    expect((await bin('pentimento edit 2> /dev/full')).code).toBe(2);
  });

  it('fails where a file takes half of it', async () => {
    const file = join(tmpdir(), `pentimento-${process.pid}.txt`);
    const { code, stderr } = await bin(`trap '' XFSZ; ulimit -f 1; pentimento edit --help > ${file}`);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: stdout: what was printed cannot be written: got .*EFBIG.*\n$/);
    expect((await readFile(file)).length).toBe(1024);
    await rm(file);
  });

  it('is quiet where the reader of a pipe has gone', async () => {
    expect(await bin('pentimento --version | true; exit "$((PIPESTATUS[0]))"')).toEqual({ code: 141, stderr: '' });
  });
});
