import { PassThrough } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { createProgress } from '../../src/cli/progress.ts';

/** A terminal that keeps what it is sent. */
function terminal() {
  const stream = new PassThrough();
  Object.assign(stream, { isTTY: true, columns: 120, cursorTo: () => {}, clearLine: () => {}, moveCursor: () => {} });
  let text = '';
  stream.on('data', chunk => {
    text += chunk;
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

const event = (phase: 'load' | 'mask' | 'invert', step: number, of: number) => ({ phase, step, of, ms: 1, bytes: 0 });
const HIDE = '\x1b[?25l';
const SHOW = '\x1b[?25h';
const count = (text: string, part: string) => text.split(part).length - 1;

describe('bars on a terminal', () => {
  it('show the time left, one bar a phase, and give the cursor back', async () => {
    const { stream, text } = terminal();
    const progress = createProgress(stream);
    for (let i = 0; i <= 4; i++) progress.report(event('mask', i, 4));
    for (let i = 0; i <= 4; i++) progress.report(event('invert', i, 4));
    progress.stop();
    await new Promise(setImmediate);
    expect(text()).toMatch(/finding mask .*4\/4 \| .* left/);
    expect(text()).toMatch(/inverting .*4\/4 \| .* left/);
    expect(count(text(), HIDE)).toBe(2);
    expect(count(text(), SHOW)).toBe(2);
    expect(text().lastIndexOf(SHOW)).toBeGreaterThan(text().lastIndexOf(HIDE));
  });

  it('show on what the tuner works', async () => {
    const { stream, text } = terminal();
    const progress = createProgress(stream);
    for (let i = 0; i <= 2; i++)
      progress.report({ phase: 'tune', step: i, of: 2, ms: i, bytes: 0, what: `conv2d k ${i}` });
    progress.stop();
    await new Promise(setImmediate);
    expect(text()).toMatch(/measuring kernels .* left, conv2d k 1/);
    expect(text()).toMatch(/measuring kernels .*2\/2 \| .* left, conv2d k 2/);
  });

  it('begin no second bar for a phase that tells of its end twice', async () => {
    const { stream, text } = terminal();
    const progress = createProgress(stream);
    const of = 3 * 2 ** 20;
    for (const done of [0, 2 ** 20, of, of, of]) progress.report(event('load', done, of));
    progress.stop();
    await new Promise(setImmediate);
    expect(count(text(), HIDE)).toBe(1);
  });

  it('end by the last byte, not by the last rounded MB', async () => {
    const { stream, text } = terminal();
    const progress = createProgress(stream);
    const of = 3e6;
    progress.report(event('load', of - 1, of));
    await new Promise(setImmediate);
    expect(text()).not.toContain('3/3 MB');
    progress.report(event('load', of, of));
    await new Promise(setImmediate);
    expect(text()).toContain('3/3 MB');
    expect(count(text(), HIDE)).toBe(1);
  });

  it('show kernels that are being built beside the phase that waits for them', async () => {
    const { stream, text } = terminal();
    const progress = createProgress(stream);
    const compile = (step: number, ms: number) => progress.report({ phase: 'compile', step, of: 40, ms, bytes: 0 });
    progress.report(event('mask', 0, 4));
    compile(1, 10); // nothing is worth a bar yet
    await new Promise(setImmediate);
    expect(text()).toBe('');
    compile(12, 2000);
    progress.report(event('mask', 1, 4));
    compile(40, 4000);
    progress.stop();
    await new Promise(setImmediate);
    expect(text()).toMatch(/finding mask .*0\/4 \| .* left, building kernels 12\/40/);
    expect(count(text(), HIDE)).toBe(1);
  });

  it('are taken away where a line is printed', async () => {
    const { stream, text } = terminal();
    const progress = createProgress(stream);
    progress.report(event('invert', 1, 4));
    progress.note('a warning');
    await new Promise(setImmediate);
    expect(text().indexOf(SHOW)).toBeGreaterThan(-1);
    expect(text().indexOf('a warning\n')).toBeGreaterThan(text().indexOf(SHOW));
  });
});

describe('lines of a pipe', () => {
  it('read as one load where networks come to the device one by one', () => {
    const stream = new PassThrough();
    const progress = createProgress(stream as unknown as NodeJS.WriteStream);
    const load = (mb: number, ms: number): void => {
      for (const share of [0, 0.5, 1, 1]) {
        const event = {
          phase: 'load',
          step: share * mb * 1e6,
          of: mb * 1e6,
          ms: share * ms,
          bytes: 0,
        } as const;
        progress.report(event);
      }
    };
    load(2, 1000);
    for (const step of [0, 1]) progress.report({ phase: 'text', step, of: 1, ms: 300 * step, bytes: 0 });
    load(6, 2000);
    load(17, 3500);
    progress.report(event('mask', 1, 4));
    progress.report(event('mask', 4, 4));
    load(6, 1000);
    progress.stop();
    expect(String(stream.read())).toBe(
      'reading prompts: 0.3 s\nloading weights: 25 MB, 6.5 s\nfinding mask: 4 steps, 0.0 s\nloading weights: 6 MB, 1.0 s\n',
    );
    expect(progress.loadMs).toBe(7500);
  });

  it('say the end of a transfer once, though it is told twice', () => {
    const stream = new PassThrough();
    const progress = createProgress(stream as unknown as NodeJS.WriteStream);
    const of = 3e6;
    for (const done of [0, of, of]) progress.bytes('download', done, of);
    expect(String(stream.read())).toBe('download: 3 MB\n');
  });

  it('say every quarter of a minute how far a transfer is', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const stream = new PassThrough();
      const progress = createProgress(stream as unknown as NodeJS.WriteStream);
      for (let done = 0; done <= 40; done += 4) {
        progress.bytes('download', done * 1e6, 40e6);
        vi.advanceTimersByTime(4000);
      }
      expect(String(stream.read())).toBe('download: 16 of 40 MB\ndownload: 32 of 40 MB\ndownload: 40 MB\n');
    } finally {
      vi.useRealTimers();
    }
  });

  it('say every quarter of a minute that a phase goes on, and how long it still takes', () => {
    const stream = new PassThrough();
    const progress = createProgress(stream as unknown as NodeJS.WriteStream);
    const tell = (phase: 'load' | 'compile' | 'invert', step: number, of: number, ms: number, secondsLeft?: number) =>
      progress.report({ phase, step, of, ms, bytes: 0, secondsLeft });
    for (const s of [0, 10, 16, 20, 31, 40]) tell('load', s * 2e7, 40 * 2e7, s * 1000, 40 - s);
    for (const s of [0, 16, 20]) tell('compile', s, 20, s * 1000);
    for (const s of [0, 1, 100, 101]) tell('invert', s, 101, s * 20_000, (101 - s) * 20);
    progress.stop();
    expect(String(stream.read()).split('\n')).toEqual([
      'loading weights: 320 of 800 MB, 24 s left',
      'loading weights: 620 of 800 MB, 9 s left',
      'building kernels: 16 of 20 kernels',
      'inverting: 1 of 101 steps, 34 min left',
      'loading weights: 800 MB, 40.0 s',
      'inverting: 100 of 101 steps, 20 s left',
      'inverting: 101 steps, 2020.0 s',
      '',
    ]);
  });
});
