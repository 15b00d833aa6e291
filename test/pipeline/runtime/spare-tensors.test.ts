import { expect, test } from 'vitest';
import { Linear } from '../../../src/nn/linear.ts';
import { Weights } from '../../../src/nn/weights.ts';
import { withSpareTensors } from '../../../src/pipeline/runtime/spare-tensors.ts';
import { memoryCheckpoint } from '../../support/memory-checkpoint.ts';

const tensor = (...shape: number[]) => ({ shape, values: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
const layer = { weight: tensor(2, 3), bias: tensor(2) };

function bound(tensors: Record<string, ReturnType<typeof tensor>>) {
  const warnings: string[] = [];
  const make = withSpareTensors(
    w => new Linear(w, { in: 3, out: 2 }),
    'unet',
    message => warnings.push(message),
  );
  const bind = () => {
    const weights = Weights.open(memoryCheckpoint(tensors));
    make(weights);
    weights.check();
  };
  return { bind, warnings };
}

test('tensors without use are told of once, by name', () => {
  const { bind, warnings } = bound({ ...layer, logit_scale: tensor(), head: tensor(0, 5) });
  bind();
  bind();
  expect(warnings).toEqual(['unet: the model has no use for logit_scale, head; ignored']);
  expect(bound(layer).warnings).toEqual([]);
});

test('of many some are named', () => {
  const many = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`vision.${i}`, tensor(1)]));
  const { bind, warnings } = bound({ ...layer, ...many });
  bind();
  expect(warnings[0]).toMatch(/no use for vision\.0, .+, vision\.7 and 392 more; ignored$/);
});

test('beside missing ones they are listed, for they may be the same under another name', () => {
  const { bind, warnings } = bound({ w: tensor(2, 3), bias: tensor(2) });
  expect(bind).toThrow('missing: weight\n  unused: w\n');
  expect(warnings).toEqual([]);
});

test('beside misshapen ones they are not: the names are right', () => {
  const { bind, warnings } = bound({ weight: tensor(2, 4), bias: tensor(2), w: tensor(2) });
  expect(bind).toThrow(/wrong shape: weight is \[2, 4\], expected \[2, 3\]\n \(/);
  expect(warnings).toEqual(['unet: the model has no use for w; ignored']);
});
