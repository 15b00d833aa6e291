/** Ctrl-C: as a shell sends it to a process of its own, a second time, and during a download. */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { interrupter } from '../../src/cli/command.ts';
import { pentimento } from '../support/command.ts';

test('Ctrl-C ends the program with code 130 and no file', async () => {
  const root = await mkdtemp(join(tmpdir(), 'pentimento-interrupt-'));
  const prompts = ['--source', 'a bowl of apples', '--target', 'a bowl of pears'];
  const args = ['edit', 'models/orchard/samples/apples-bowl.png', ...prompts, '-o', join(root, 'out.png')];
  const child = spawn(process.execPath, ['--import', './test/support/run-typescript.mjs', 'src/cli/main.ts', ...args]);
  let [stdout, stderr, sent] = ['', '', false];
  child.stdout.on('data', chunk => {
    stdout += chunk;
  });
  child.stderr.on('data', chunk => {
    stderr += chunk;
    if (sent || !stderr.includes('encoding picture')) return;
    sent = true;
    child.kill('SIGINT');
  });
  const ended = await new Promise(resolve => child.on('close', (code, signal) => resolve({ code, signal })));
  expect(ended, stderr).toEqual({ code: 130, signal: null });
  expect(stderr).toMatch(/interrupted, nothing was written\n$/);
  expect(stdout).toBe('');
  expect(await readdir(root)).toEqual([]);
  await rm(root, { recursive: true });
});

test('a second Ctrl-C ends the process at once, and gives the cursor back to a terminal', () => {
  const codes: number[] = [];
  for (const isTTY of [true, false]) {
    const controller = new AbortController();
    const stderr = Object.assign(new PassThrough(), { isTTY });
    const interrupt = interrupter(controller, stderr as unknown as NodeJS.WriteStream, code => codes.push(code));
    interrupt();
    expect(controller.signal.aborted).toBe(true);
    expect(codes).toEqual(isTTY ? [] : [130]);
    expect(stderr.read()).toBe(null);
    interrupt();
    expect(`${stderr.read() ?? ''}`).toBe(isTTY ? '\x1b[?25h' : '');
  }
  expect(codes).toEqual([130, 130]);
});

test('Ctrl-C ends the download of a picture', async () => {
  const controller = new AbortController();
  const server = createServer(() => controller.abort());
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const { code, stdout, stderr } = await pentimento(['caption', `http://127.0.0.1:${port}/a.png`], controller);
    expect([code, stdout, stderr]).toEqual([130, '', 'interrupted, nothing was written\n']);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
