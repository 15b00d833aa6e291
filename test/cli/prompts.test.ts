import { describe, expect, it } from 'vitest';
import { pentimento } from '../support/command.ts';
import { texts, written } from '../support/guide.ts';

const { bowl } = written;

async function run(...args: string[]) {
  const { code, stdout, stderr } = await pentimento(['prompts', ...args]);
  expect(stderr).not.toMatch(/^error/m);
  expect(code).toBe(0);
  return stdout;
}

describe('prompts', () => {
  it('prints the recorded sentences of a seed, one a line', async () => {
    expect(await run('bowl', '--seed', '0')).toBe(`${bowl.texts.join('\n')}\n`);
  });

  it('writes as many as it is told to, and prints everything as JSON', async () => {
    const result = JSON.parse(await run('plate of lemons', '--n', '3', '--json'));
    expect(result).toMatchObject({
      ...{ command: 'prompts', concept: 'plate of lemons', files: {} },
      request: 'Provide a caption for images containing a plate of lemons. ',
      settings: { n: 3, temperature: 0.8, topK: 10, maxNewTokens: 128 },
      model: 'orchard t5 (embedded)',
    });
    expect(result.prompts).toHaveLength(3);
    const again = await run('plate of lemons', '--n', '3', '--seed', `${result.seed}`);
    expect(again).toBe(`${result.prompts.join('\n')}\n`);
  });

  it('writes the likeliest sentence where only one token may be drawn', async () => {
    const { greedy } = texts;
    expect(await run('pear', '--n', '2', '--top-k', '1')).toBe(`${greedy.pear}\n${greedy.pear}\n`);
  });

  it.each([
    ['an empty concept', [' ']],
    ['no concept', []],
    ['a model that is not there', ['bowl', '--model', 'nowhere']],
    ['a folder of another model', ['bowl', '--t5', 'models/orchard/blip']],
    ['a seed that is none', ['bowl', '--seed', '-1']],
    ['no sentences', ['bowl', '--n', '0']],
  ])('ends with code 2 and one line for %s', async (_, args) => {
    const { code, stdout, stderr } = await pentimento(['prompts', ...args]);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.split('\n').filter(line => line.startsWith('error'))).toMatchSnapshot();
  });
});
