import { expect, test } from 'vitest';
import { Residents } from '../../src/pipeline/runtime/device-peak.ts';

/** A model that works with `work` bytes beside its weights. */
function model(weights: number, work: number) {
  const self = { bytes: weights, peakBytes: weights + work, disposed: 0, dispose };
  function dispose() {
    self.disposed++;
    self.bytes = 0;
  }
  return self;
}

test('models that leave before the next comes cost as much as the largest', () => {
  const residents = new Residents();
  const [small, large] = [model(10, 5), model(100, 20)];
  residents.release(residents.add(small));
  residents.release(residents.add(large));
  expect(residents.peakBytes).toBe(120);
  expect(residents.bytes).toBe(0);
  expect([small.disposed, large.disposed]).toEqual([1, 1]);
});

test('models that stay cost their weights while another works', () => {
  const residents = new Residents();
  const [a, b, c] = [model(10, 5), model(100, 20), model(50, 60)].map(m => residents.add(m));
  expect(residents.bytes).toBe(160);
  for (const m of [a, b, c]) residents.worked(m);
  expect(residents.peakBytes).toBe(10 + 100 + 110);
  residents.releaseAll();
  expect(residents.bytes).toBe(0);
  expect([a.disposed, b.disposed, c.disposed]).toEqual([1, 1, 1]);
});

test('a model is disposed once however often it is released', () => {
  const residents = new Residents();
  const only = residents.add(model(10, 5));
  residents.release(only);
  residents.release(only);
  residents.releaseAll();
  expect(only.disposed).toBe(1);
});
