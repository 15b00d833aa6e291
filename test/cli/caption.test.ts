import { describe, expect, it } from 'vitest';
import { pentimento } from '../support/command.ts';
import { texts } from '../support/guide.ts';

const SAMPLES = 'models/orchard/samples';
const recorded = texts.captions;

async function run(...args: string[]) {
  const { code, stdout, stderr } = await pentimento(['caption', ...args]);
  expect(stderr).not.toMatch(/^error/m);
  expect(code).toBe(0);
  return stdout;
}

describe('caption', () => {
  it('prints the recorded sentence, with the prefix of the guide', async () => {
    const name = 'peaches-bowl.png';
    expect(await run(`${SAMPLES}/${name}`)).toBe(`${recorded[name]['a photograph of'].text}\n`);
  });

  it('lets the model begin by itself, and prints everything as JSON', async () => {
    const name = 'lemons-basket.png';
    const result = JSON.parse(await run(`${SAMPLES}/${name}`, '--no-prefix', '--json'));
    expect(result).toMatchObject({
      ...{ command: 'caption', image: `${SAMPLES}/${name}`, prefix: null, caption: recorded[name][''].text },
      ...{ model: 'orchard blip (embedded)', dtype: 'float32', files: {} },
    });
    expect(result.peakBytes).toBeGreaterThan(1e6);
    expect(result.hostPeakBytes).toBeGreaterThan(result.peakBytes);
    expect(result.timingsMs.load).toBeGreaterThan(0);
    expect(result.timingsMs.total).toBeGreaterThan(result.timingsMs.load);
  });

  it('begins with any words, and writes no more than it is told to', async () => {
    const long = await run(`${SAMPLES}/apples-bowl.png`, '--prefix', 'a picture of');
    expect(long).toMatch(/^a picture of /);
    const short = await run(`${SAMPLES}/apples-bowl.png`, '--prefix', 'a picture of', '--max-new-tokens', '2');
    expect(long.startsWith(short.trimEnd())).toBe(true);
    expect(short.trim().split(' ')).toHaveLength(5);
  });

  it.each([
    ['a picture that is not there', ['nowhere.png']],
    ['a model that is not there', [`${SAMPLES}/apples-bowl.png`, '--model', 'nowhere']],
    ['a folder of another model', [`${SAMPLES}/apples-bowl.png`, '--blip', 'models/orchard/t5']],
    ['no room for a token', [`${SAMPLES}/apples-bowl.png`, '--max-new-tokens', '0']],
  ])('ends with code 2 and one line for %s', async (_, args) => {
    const { code, stdout, stderr } = await pentimento(['caption', ...args]);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.split('\n').filter(line => line.startsWith('error'))).toMatchSnapshot();
  });
});
