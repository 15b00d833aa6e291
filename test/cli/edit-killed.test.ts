/** A folder of pictures whose command is killed in the middle: called again, it ends in the same files byte for byte. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { pentimento } from '../support/command.ts';
import { hashesBelow, smallPictures, startPentimento } from '../support/edit-folder.ts';

const [PICTURES, KILLS] = process.env['PENTIMENTO_FULL'] ? [100, 5] : [3, 1];
const SEED = 15;

/** Numbers from 0 to 1 that the seed alone decides (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Kills the command behind so many pictures, at least two, in the one that follows.
 * @param share of the time that the last one took
 * @returns how many it had told of
 */
async function killedAfter(args: readonly string[], pictures: number, share: number): Promise<number> {
  const child = startPentimento(args);
  let stdout = '';
  let timer: NodeJS.Timeout | undefined;
  let [made, since] = [0, 0];
  child.stdout?.on('data', chunk => {
    stdout += chunk;
    const now = toldOf(stdout);
    if (now === made) return;
    if (now >= pictures) timer ??= setTimeout(() => child.kill('SIGKILL'), share * (performance.now() - since));
    [made, since] = [now, performance.now()];
  });
  child.stderr?.resume();
  await new Promise(resolve => child.on('close', resolve));
  clearTimeout(timer);
  return toldOf(stdout);
}

function toldOf(stdout: string): number {
  return stdout.match(/mask\.png\n/g)?.length ?? 0;
}

test(`${PICTURES} pictures, killed in the middle ${KILLS} times, are the same as in one go`, async () => {
  const root = await mkdtemp(join(tmpdir(), 'pentimento-killed-'));
  try {
    await smallPictures(join(root, 'in'), PICTURES);
    const settings = ['--num-inference-steps', '2', '--num-maps-per-mask', '1', '--size', '64x64', '--seed', '4'];
    const prompts = ['--source', 'a bowl of apples', '--target', 'a bowl of pears'];
    const args = (folder: string) => ['edit', join(root, 'in'), ...prompts, ...settings, '-o', join(root, folder)];
    const random = numbers(SEED);
    let told = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const after = 2 + Math.floor(random() * Math.max(1, (PICTURES - 4) / KILLS / 2));
      told += await killedAfter(args('killed'), after, random());
    }
    expect(told).toBeGreaterThanOrEqual(2 * KILLS);
    expect(told).toBeLessThan(PICTURES);
    const again = await pentimento(args('killed'));
    expect(again.code, again.stderr).toBe(0);
    // What was told of is not done again; of the picture that the kill was in, nobody knows.
    expect(toldOf(again.stdout)).toBeLessThanOrEqual(PICTURES - told);
    const whole = await pentimento(args('whole'));
    expect(whole.code, whole.stderr).toBe(0);
    const { 'results.jsonl': _, ...expected } = await hashesBelow(join(root, 'whole'));
    const { 'results.jsonl': manifest, ...found } = await hashesBelow(join(root, 'killed'));
    expect(Object.keys(expected)).toHaveLength(2 * PICTURES);
    expect(found).toEqual(expected);
    expect(manifest).toBeDefined();
  } finally {
    await rm(root, { recursive: true });
  }
});
