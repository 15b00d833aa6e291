/**
 * Stable Diffusion 2.1 at its published size on devices that run nothing: what a call asks its device for is what its plan says.
 * `npm run dry-run`, a check beside the tests, makes many more such calls, also on drivers that check and compile.
 */
import { describe, expect, test } from 'vitest';
import { Gpu } from '../../src/gpu/device.ts';
import { DryRun, type DryRunCase, nameOf } from '../support/dry-run.ts';
import { coveringCases, coveringCasesOfThree, DRY_RUN_DEVICES, everyCase } from '../support/dry-run-cases.ts';

const [byDefault] = DRY_RUN_DEVICES.map(({ name, caps }) => ({ name, run: new DryRun(Gpu.dry(caps)) }));

const guided = { images: 1, guided: true };

// What `npm run dry-run` makes beside the tests, every day too, is left to it.
describe.each([
  [byDefault, { size: 768, dtype: 'float32', ...guided }],
  [byDefault, { size: 512, dtype: 'float16', ...guided, maxBytes: 0.31e9 }],
] as const satisfies readonly (readonly [{ name: string; run: DryRun }, DryRunCase])[])('$name', ({ run }, dry) => {
  test(nameOf(dry), async () => {
    const { wrong, refused, dispatches } = await run.make(dry);
    expect(wrong).toEqual([]);
    expect(refused).toBeUndefined();
    expect(dispatches).toBeGreaterThan(1000);
  });
});

test('what only tiles let fit is refused before any buffer was made, and tiles are named', async () => {
  const dry = { size: 512, dtype: 'float32', images: 1, guided: false, maxBytes: 3.5e8, embedded: true } as const;
  const without = await byDefault.run.make(dry);
  expect(without.wrong).toEqual([]);
  expect(without.refused).toMatch(/at most 350000000 bytes[\s\S]*allowTiles/);
  const allowed = await byDefault.run.make({ ...dry, allowTiles: true });
  expect(allowed.wrong).toEqual([]);
  expect(allowed.refused).toBeUndefined();
});

test('a few calls cover every two values', () => {
  expect(coveringCases().length).toBeLessThan(30);
  expect(coveringCasesOfThree().length).toBeLessThan(130);
  expect(everyCase()).toHaveLength(648);
});

// All 648 take hours: `npm run dry-run -- --full`.
describe.runIf(process.env.PENTIMENTO_FULL).each(DRY_RUN_DEVICES)('every three values meet on $name', device => {
  const run = new DryRun(Gpu.dry(device.caps));
  const own = coveringCasesOfThree().filter(one => one.device === device);
  test.each(own.map(dry => [nameOf(dry), dry] as const))('%s', async (_, dry) => {
    expect((await run.make(dry)).wrong).toEqual([]);
  });
});
