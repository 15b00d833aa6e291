import { describe, expect, it } from 'vitest';
import * as errors from '../src/core/errors.ts';

const DETAILS = {
  op: 'conv2d',
  problem: 'the weight takes another number of channels than x has',
  expected: [320, 320, 3, 3],
  received: [2, 640, 64, 64],
  path: 'unet.down_blocks.1.resnets.0.conv1',
  fix: 'Use the weights of the same folder.',
};
const { PentimentoError, show, ...classes } = errors;

describe.each(Object.entries(classes))('%s', (name, Class) => {
  it('carries name, code and every field, and is caught by the base class', () => {
    const cause = new RangeError('beneath');
    const error = new Class({ ...DETAILS, cause });
    expect(error).toBeInstanceOf(PentimentoError);
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe(name);
    expect(`${error.code}error`).toBe(name.toLowerCase());
    expect(error).toMatchObject(DETAILS);
    expect(error.cause).toBe(cause);
  });

  it('says op, problem, values, path and remedy in that order', () => {
    expect(String(new Class(DETAILS))).toMatchSnapshot();
  });
});

it('has a class for each theme', () => {
  expect(Object.keys(classes).sort()).toEqual([
    'DTypeError',
    'DeviceError',
    'InputError',
    'LoadError',
    'NumericsError',
    'ShaderError',
    'ShapeError',
    'WeightsError',
  ]);
});

describe('parts that are absent leave no trace', () => {
  const message = (details: Partial<errors.ErrorDetails>) =>
    new errors.InputError({ op: 'mask', problem: 'is empty', ...details }).message;

  it.each([
    [{}, 'mask: is empty'],
    [{ fix: 'Give one.' }, 'mask: is empty. Give one.'],
    [{ path: 'mask.png' }, 'mask: is empty (mask.png)'],
    [{ received: 0 }, 'mask: is empty: got 0'],
    [{ expected: 'a number' }, 'mask: is empty: expected a number'],
    [{ expected: [1, [2, 3]], received: { a: 1 }, path: 'p' }, 'mask: is empty: expected [1, [2, 3]], got {"a":1} (p)'],
  ])('%j', (details, text) => {
    expect(message(details)).toBe(text);
    expect(new errors.InputError({ op: 'mask', problem: 'is empty', ...details }).cause).toBeUndefined();
  });
});

describe('a value of the caller', () => {
  const got = (value: unknown) => new errors.InputError({ op: 'edit', problem: 'odd', value }).message;

  it.each([
    ['false', 'edit: odd: got "false"'],
    [false, 'edit: odd: got false'],
    ['', 'edit: odd: got ""'],
    ['two\nlines "so"', 'edit: odd: got "two\\nlines \\"so\\""'],
    ['null', 'edit: odd: got "null"'],
    [null, 'edit: odd: got null'],
    [undefined, 'edit: odd: got undefined'],
    [Number.NaN, 'edit: odd: got NaN'],
    [5n, 'edit: odd: got 5'],
    [['1', 2, [true]], 'edit: odd: got ["1", 2, [true]]'],
    [{ a: '1' }, 'edit: odd: got {"a":"1"}'],
    [() => 1, 'edit: odd: got a function'],
    ['x'.repeat(1000), `edit: odd: got "${'x'.repeat(120)}…"`],
    [new Array(1000).fill(0), `edit: odd: got [${'0, '.repeat(120)}… 1000 in all]`],
  ])('is shown as code writes it (%#)', (value, text) => {
    expect(got(value)).toBe(text);
  });

  it('is what was received, for programs', () => {
    const error = new errors.InputError({ op: 'edit', problem: 'odd', value: 'false' });
    expect([error.received, error.toJSON().received]).toEqual(['false', 'false']);
  });
});

it('can be said in other words, part by part', () => {
  const error = new errors.InputError({ ...DETAILS, expected: 'a size', value: 'a size' });
  expect(error.reworded(text => text)).toBe(error.message);
  const parts: string[] = [];
  const loud = error.reworded((text, part) => {
    parts.push(part);
    return part === 'fix' ? '' : text.toUpperCase();
  });
  expect(parts).toEqual(['op', 'problem', 'expected', 'path', 'fix']);
  expect(loud).toBe(
    'CONV2D: THE WEIGHT TAKES ANOTHER NUMBER OF CHANNELS THAN X HAS: expected A SIZE, got "a size" (UNET.DOWN_BLOCKS.1.RESNETS.0.CONV1)',
  );
});

it('shows any value shortly', () => {
  expect(['text', 3, null, undefined, true, 10n, [1, 'a'], { a: [1] }].map(errors.show)).toEqual([
    'text',
    '3',
    'null',
    'undefined',
    'true',
    '10',
    '[1, a]',
    '{"a":[1]}',
  ]);
});

describe('an error as plain data', () => {
  const { InputError, WeightsError } = errors;

  it('has every field, its class and its cause, and passes JSON and structuredClone unchanged', () => {
    const beneath = new RangeError('beneath', { cause: 'a closed file' });
    const cause = new WeightsError({
      op: 'load',
      problem: 'the file ends early',
      path: 'unet.safetensors',
      cause: beneath,
    });
    const error = new InputError({ ...DETAILS, cause });
    const json = error.toJSON();
    expect(json).toEqual({
      class: 'InputError',
      code: 'input',
      message: error.message,
      ...DETAILS,
      cause: {
        class: 'WeightsError',
        code: 'weights',
        message: cause.message,
        op: 'load',
        problem: 'the file ends early',
        path: 'unet.safetensors',
        cause: { class: 'RangeError', message: 'beneath', cause: 'a closed file' },
      },
    });
    expect(structuredClone(json)).toEqual(json);
    expect(JSON.parse(JSON.stringify(error))).toEqual(json);
  });

  it('names what is not plain', () => {
    const self: Record<string, unknown> = { size: Number.NaN, left: undefined };
    self.self = self;
    const received = [Number.POSITIVE_INFINITY, 2n, new Map(), new Float32Array(4), () => 1, null, true, self];
    const json = new InputError({ op: 'edit', problem: 'odd', received, cause: new AbortController() }).toJSON();
    expect(json.received).toEqual([
      'Infinity',
      '2',
      'Map',
      'Float32Array',
      '() => 1',
      null,
      true,
      { size: 'NaN', self: 'itself' },
    ]);
    expect(json.cause).toBe('AbortController');
    expect(structuredClone(json)).toEqual(json);
    expect(JSON.parse(JSON.stringify(json))).toEqual(json);
    expect(Object.keys(new InputError({ op: 'edit', problem: 'none' }).toJSON())).toEqual([
      'class',
      'code',
      'message',
      'op',
      'problem',
    ]);
  });
});
