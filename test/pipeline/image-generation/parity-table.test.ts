/** docs/parity-pipelines.md says what the table of arguments says: every argument, who takes it, its default. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  ARGUMENTS,
  type ArgumentName,
  defaultOf,
  type Kind,
} from '../../../src/pipeline/image-generation/arguments.ts';

const text = readFileSync('docs/parity-pipelines.md', 'utf8');
const part = text.slice(text.indexOf('## `generate`'), text.indexOf('Returns `{ images'));

/** Names with what stands beside them: pipelines and default. */
const rows = [...part.matchAll(/^\| (`[^|]*) \|([^|]*)\|([^|]*)\|/gm)].flatMap(([, names, kinds, defaults]) =>
  [...names.matchAll(/`(\w+)`/g)].map(([, name]) => ({ name, kinds: kinds.trim(), written: defaults.trim() })),
);

const written = (value: unknown): string => (typeof value === 'string' ? `'${value}'` : String(value ?? ''));

test('the table names every argument and no other', () => {
  expect(rows.map(({ name }) => name).sort()).toEqual(Object.keys(ARGUMENTS).sort());
});

test('it says who takes an argument, and its default', () => {
  for (const { name, kinds, written: byDefault } of rows) {
    const own = ARGUMENTS[name as ArgumentName].in;
    expect(kinds, name).toBe(own);
    const defaults = (own.split(' ') as Kind[]).map(kind => written(defaultOf(kind, name as ArgumentName)));
    expect(byDefault, name).toBe([...new Set(defaults)].join(', '));
  }
});
