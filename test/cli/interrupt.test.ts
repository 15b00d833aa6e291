/** The bin in a process of its own: Ctrl-C as a shell sends it. */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

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
