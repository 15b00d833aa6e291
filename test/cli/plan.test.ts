import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { pentimento } from '../support/command.ts';

interface Planned {
  readonly fits: boolean;
  readonly fitsWith?: string;
  readonly plan: {
    readonly peakBytes: number;
    readonly phases: readonly { readonly phase: string }[];
  };
  readonly savings: readonly { readonly savings: string; readonly peakBytes: number }[];
}

const json = async (...args: string[]): Promise<Planned> => {
  const { code, stdout } = await pentimento(['plan', '--default-limits', '--json', ...args]);
  expect(code).toBe(0);
  return JSON.parse(stdout);
};

describe('pentimento plan', () => {
  test('says what an edit of the embedded model takes, phase by phase, and what each saving would leave', async () => {
    const { code, stdout, stderr } = await pentimento(['plan', '--default-limits', '--num-images-per-prompt', '3']);
    expect([code, stderr]).toEqual([0, expect.stringContaining('Using the embedded model.')]);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('orchard (embedded), 128x128, float32');
    expect(lines[1]).toContain('bindings up to 134 MB, buffers up to 268 MB');
    expect(lines[3]).toMatch(/^ +device +weights +activations +staging +host +binding +buffer +calls +TFLOP$/);
    expect(lines.slice(4, 11).map(line => line.split(' ')[0])).toEqual([
      ...['text', 'encode', 'mask', 'invert', 'edit', 'decode', 'in'],
    ]);
    expect(stdout).toMatch(/ {2}as it is {2}<- shown above\n/);
    expect(stdout).toContain('one picture at a time through the VAE, one network at a time on the device');
  });

  test('as JSON: the numbers in bytes, and what a limit on memory leads to', async () => {
    const free = await json();
    expect(free.fits).toBe(true);
    expect(free.plan.phases.map(p => p.phase)).toContain('edit');
    const [all, offloaded] = free.savings;
    expect([all.savings, all.peakBytes]).toEqual(['', free.plan.peakBytes]);
    const less = await json('--max-memory', String(offloaded.peakBytes));
    expect([less.fits, less.fitsWith]).toEqual([false, offloaded.savings]);
    expect(less.plan.peakBytes).toBe(offloaded.peakBytes);
    const streamed = free.savings[2];
    const limit = Math.floor((streamed.peakBytes + offloaded.peakBytes) / 2);
    const more = await json('--max-memory', String(limit));
    expect(more.fitsWith).toBe(streamed.savings);
    expect(more.plan.peakBytes).toBeGreaterThanOrEqual(streamed.peakBytes);
    expect(more.plan.peakBytes).toBeLessThanOrEqual(limit);
  });

  test('more of everything takes more', async () => {
    const peak = async (...args: string[]) => (await json(...args)).plan.peakBytes;
    const small = await peak('--size', '64x64');
    const large = await peak('--size', '192x192');
    expect(large).toBeGreaterThan(small);
    expect(await peak('--size', '192x192', '--dtype', 'float16')).toBeLessThan(large);
  });

  test('what nothing makes fit is said, with what may help', async () => {
    const { code, stdout } = await pentimento(['plan', '--default-limits', '--max-memory', '1MB']);
    expect([code, stdout.trimEnd().split('\n').at(-1)]).toEqual([
      0,
      expect.stringMatching(
        /^Does not fit 1 MB\. .* Use --dtype float16, a smaller picture, or a larger --max-memory\.$/,
      ),
    ]);
    const half = await pentimento(['plan', '--default-limits', '--max-memory', '1MB', '--dtype', 'float16']);
    expect(half.stdout).toMatch(/ Use a smaller picture, or a larger --max-memory\.\n$/);
  });

  test('tiles are named where they fit, and shown where they are allowed', async () => {
    const large = ['plan', '--default-limits', '--size', '256x256', '--num-inference-steps', '4'];
    const { stdout } = await pentimento([...large, '--allow-tiles']);
    expect(stdout).toMatch(/VAE tiles of \d+ pixels/);
    const tight = ['--max-memory', '30MB'];
    const without = await pentimento([...large, ...tight]);
    expect(without.stdout).toMatch(
      /\nDoes not fit 30 MB\. .* Allow them with --allow-tiles: tiles of \d+ pixels fit\.\n$/,
    );
    const { stdout: fits } = await pentimento([...large, ...tight, '--allow-tiles']);
    expect(fits).toMatch(/\nFits 30 MB: --max-memory chooses VAE tiles of \d+ pixels/);
  });

  test('a picture that is named by its size has one', async () => {
    for (const [size, fix] of [
      ['0x0', 'Give width and height in pixels, such as 768x512.'],
      ['99999x99999', 'pixels, such as 8192x8192.'],
    ] as const) {
      const { code, stderr } = await pentimento(['plan', size, '--default-limits']);
      expect(code).toBe(2);
      expect(stderr).toContain(`argument value '${size}' is invalid`);
      expect(stderr).toContain(fix);
    }
  });

  test('a size that no host could hold is refused as such', async () => {
    const { code, stderr } = await pentimento(['plan', '--size', '80000x80000']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('Give at most 67108864 pixels, such as 8192x8192.')]);
  });

  test('a refusal names its remedies: an adapter with larger limits is one', async () => {
    const { code, stderr } = await pentimento(['plan', '--default-limits', '--size', '8192x8192']);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/buffer would exceed .*Use .*a smaller picture.* or an adapter with larger limits\.\n$/),
    ]);
  });

  test('an edit that cannot fit is refused before its weights are read', async () => {
    const picture = 'models/orchard/samples/apples-bowl.png';
    const edit = ['edit', picture, '--source', 'a', '--target', 'b', '-o', join(tmpdir(), 'never-written.png')];
    const wrong = await pentimento([...edit, '--max-memory', 'much']);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('Give a number of bytes, such as 2GB')]);
    const { code, stderr } = await pentimento([...edit, '--max-memory', '1MB']);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/needs more device memory than it may take: .*at most 1000000 bytes.*\(--max-memory\)/),
    ]);
    expect(stderr).not.toMatch(/encoding|finding mask/);
  });
});
