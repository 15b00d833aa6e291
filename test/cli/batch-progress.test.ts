/** How far many pictures are: one bar on a terminal, a line a picture elsewhere. */
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BatchProgress } from '../../src/cli/batch-progress.ts';

function output(isTTY: boolean) {
  const stream = new PassThrough();
  const moves = { cursorTo: () => {}, clearLine: () => {}, moveCursor: () => {}, clearScreenDown: () => {} };
  Object.assign(stream, { isTTY, columns: 160, ...moves });
  let text = '';
  stream.on('data', chunk => {
    text += chunk;
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

const event = (phase: 'load' | 'edit' | 'encode', step: number, of: number) => ({ phase, step, of, ms: 5, bytes: 0 });

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'Date', 'setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

describe('progress of many pictures', () => {
  it('is a line a picture: which of how many, how long, how much of it changed, and the time left', () => {
    const { stream, text } = output(false);
    const progress = new BatchProgress(stream);
    progress.begin(4);
    progress.skipped();
    progress.working('a.png', event('load', 100, 100));
    vi.advanceTimersByTime(2000);
    progress.made('a.png', 1900, 0.257);
    progress.failed('b.png', 'no picture');
    vi.advanceTimersByTime(4000);
    progress.made('d.png', 3900, undefined);
    progress.note('a note');
    progress.stop();
    expect(text()).toBe(
      '2/4 a.png: 1.9 s, mask 26 %, 4 s left\n3/4 b.png: failed: no picture\n4/4 d.png: 3.9 s\na note\n',
    );
    expect([progress.loadMs, progress.done]).toEqual([5, 3]);
  });

  it('is one bar on a terminal, with the picture and its phase, and lines stand above it', () => {
    const { stream, text } = output(true);
    const progress = new BatchProgress(stream);
    progress.begin(3);
    progress.working('a.png', event('edit', 1, 8));
    vi.advanceTimersByTime(200_000);
    progress.made('a.png', 2000, 0.5);
    progress.working(`${'long/'.repeat(20)}b.png`, event('encode', 1, 1));
    progress.failed('c.png', 'no picture');
    vi.advanceTimersByTime(1000);
    progress.working('d.png', event('edit', 2, 8));
    progress.stop();
    const said = text();
    expect(said).toContain('pictures ');
    expect(said).toMatch(/0\/3 \| editing 1\/8, a\.png|0\/3/);
    expect(said).toMatch(/1\/3, 7 min left/);
    expect(said).toContain('\nc.png: failed: no picture\n'.slice(1));
    expect(said).not.toContain('2/3 c.png');
    // Given back as it was.
    expect(said.split('\x1b[?25l').length).toBe(said.split('\x1b[?25h').length);
  });

  it('shows the load and the download before pictures begin, as of one', () => {
    const { stream, text } = output(false);
    const progress = new BatchProgress(stream);
    progress.bytes('model.safetensors', 2e6, 2e6);
    progress.stop();
    expect(text()).toBe('model.safetensors: 2 MB\n');
  });
});
