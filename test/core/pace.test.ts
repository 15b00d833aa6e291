/** How fast work goes of late, and what the rest of it takes. */
import { expect, it } from 'vitest';
import { PaceMeter } from '../../src/core/pace.ts';

it('tells nothing before a piece is done, and the time left from then on', () => {
  const meter = new PaceMeter();
  expect(meter.at(0, 0, 10)).toEqual({});
  expect(meter.at(500, 0, 10)).toEqual({});
  expect(meter.at(1000, 1, 10)).toEqual({ rate: 1, secondsLeft: 9 });
  expect(meter.at(1500, 2, 10)).toEqual({ rate: 2 / 1.5, secondsLeft: 6 });
  expect(meter.at(2000, 10, 10)).toEqual({ rate: 5, secondsLeft: 0 });
});

it('forgets what is long ago: weights that came from a cache at first', () => {
  const meter = new PaceMeter();
  meter.at(0, 0, 1e9);
  meter.at(1000, 5e8, 1e9);
  for (let s = 2; s <= 30; s++) meter.at(s * 1000, 5e8 + s * 1e6, 1e9);
  const { rate, secondsLeft } = meter.at(31_000, 5e8 + 31e6, 1e9);
  expect(rate).toBeCloseTo(1e6, -2);
  expect(secondsLeft).toBeCloseTo(469, 0);
});

it('keeps the latest pieces of a slow device, and begins anew where the work does', () => {
  const meter = new PaceMeter();
  for (let step = 0; step <= 5; step++) meter.at(step * 60_000, step, 10);
  expect(meter.at(6 * 60_000, 6, 10).secondsLeft).toBeCloseTo(240, 6);
  expect(meter.at(400_000, 0, 10)).toEqual({});
  expect(meter.at(401_000, 1, 10)).toEqual({ rate: 1, secondsLeft: 9 });
});

it('of work that took no time says nothing', () => {
  const meter = new PaceMeter();
  meter.at(0, 0, 2);
  expect(meter.at(0, 1, 2)).toEqual({});
  expect(meter.at(0, 2, 2)).toEqual({ secondsLeft: 0 });
});
