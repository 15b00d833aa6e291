import { expect, test } from 'vitest';
import { HeldModels } from '../../../src/pipeline/runtime/held-models.ts';

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
  const held = new HeldModels();
  const [small, large] = [model(10, 5), model(100, 20)];
  held.release(held.add(small));
  held.release(held.add(large));
  expect(held.peakBytes).toBe(120);
  expect(held.bytes).toBe(0);
  expect([small.disposed, large.disposed]).toEqual([1, 1]);
});

test('models that stay cost their weights while another works', () => {
  const held = new HeldModels();
  const [a, b, c] = [model(10, 5), model(100, 20), model(50, 60)].map(m => held.add(m));
  expect(held.bytes).toBe(160);
  for (const m of [a, b, c]) held.worked(m);
  expect(held.peakBytes).toBe(10 + 100 + 110);
  held.releaseAll();
  expect(held.bytes).toBe(0);
  expect([a.disposed, b.disposed, c.disposed]).toEqual([1, 1, 1]);
});

test('a model is disposed once however often it is released', () => {
  const held = new HeldModels();
  const only = held.add(model(10, 5));
  held.release(only);
  held.release(only);
  held.releaseAll();
  expect(only.disposed).toBe(1);
});
