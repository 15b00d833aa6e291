import { describe, expect, test } from 'vitest';
import type { LogitsProcessor } from '../../src/generation/index.ts';
import * as generation from '../../src/generation/index.ts';
import { floats } from '../support/scheduler-numbers.ts';
import { loadGeneration } from './toy.ts';

const factories = new Map(Object.entries(generation)) as Map<string, unknown>;
const torch = loadGeneration('processors');
const ids = torch.ids as number[][];
const scores = (): Float32Array => floats(torch.scores);

function processed(process: LogitsProcessor, from: Float32Array, sequences: number[][] = ids): number[] {
  process(from, sequences);
  return [...from];
}

describe('processors change scores as transformers does', () => {
  test.each(torch.cases as { name: string; arguments: unknown[]; processed: string }[])('$name($arguments)', c => {
    const make = factories.get(c.name) as (...args: unknown[]) => LogitsProcessor;
    const actual = processed(make(...c.arguments), scores());
    const expected = [...floats(c.processed)];
    if (c.name !== 'renormalise') expect(actual).toEqual(expected);
    // torch's own exponential: one or two units in the last place.
    else
      actual.forEach((x, i) => {
        if (Number.isFinite(expected[i])) expect(Math.abs(x - expected[i])).toBeLessThan(4e-6);
        else expect(x).toBe(expected[i]);
      });
  });

  test('a forced first id behind a prompt of one id only', () => {
    const one = ids.map(row => row.slice(0, 1));
    expect(processed(generation.forcedBos(5), scores(), one)).toEqual([...floats(torch.forced_bos.one)]);
    expect(processed(generation.forcedBos(5), scores())).toEqual([...floats(torch.forced_bos.nine)]);
  });

  test('NaN and infinities become finite', () => {
    expect(processed(generation.removeInvalidValues(), floats(torch.odd))).toEqual([...floats(torch.valid)]);
  });
});
