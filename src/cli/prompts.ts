/** `pentimento prompts`: sentences about a concept. */
import { Command } from 'commander';
import { generatePrompts, promptRequest, SENTENCES } from '../pipeline/guide/captions-and-prompts.ts';
import { T5ForConditionalGeneration } from '../pipeline/text/t5.ts';
import { Generator } from '../schedulers/generator.ts';
import type { Outside } from './command.ts';
import { EMBEDDED_KNOWS } from './model.ts';
import { integer, number, parseSeed } from './option-values.ts';
import { addDeviceOptions, addHubOptions, type DeviceOptions, type HubOptions } from './options.ts';
import { withTextModel } from './text-model.ts';

interface Options extends DeviceOptions, HubOptions {
  readonly t5?: string;
  readonly n: number;
  readonly seed?: number;
  readonly temperature: number;
  readonly topK: number;
  readonly maxNewTokens: number;
}

/** The command with all its options. */
export function promptsCommand(outside: Outside): Command {
  const command = new Command('prompts')
    .description('Write sentences about a concept, by chance: captions of pictures that contain it.')
    .argument('<concept>', 'such as bowl, or "plate of lemons"')
    .option('--n <n>', 'sentences to write', integer(1), SENTENCES)
    .option('--temperature <x>', 'below 1 the likely becomes likelier', number(Number.MIN_VALUE), 0.8)
    .option('--top-k <n>', 'draw from so many likeliest tokens; 0 is all', integer(0), 10)
    .option('--max-new-tokens <n>', 'most tokens a sentence', integer(1), 128)
    .option('--seed <n>', "seed of torch's CPU generator (default: a new one, printed by --json)", parseSeed)
    .optionsGroup('Model and device:')
    .option('--model, --t5 <dir or id>', 'folder of Flan-T5, or Hub id (default: the embedded one)');
  addHubOptions(command);
  addDeviceOptions(command).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action((concept: string, o: Options) => write(concept, o, outside));
}

async function write(concept: string, o: Options, outside: Outside): Promise<void> {
  promptRequest(concept);
  const seed = o.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  await withTextModel(
    't5',
    o.t5,
    o,
    outside,
    (folder, options) => T5ForConditionalGeneration.fromPretrained(folder, options),
    async t5 => {
      const start = performance.now();
      const { n, temperature, topK, maxNewTokens } = o;
      const generator = new Generator(seed);
      const settings = { n, temperature, topK, maxNewTokens };
      const prompts = await generatePrompts(t5, concept, { ...settings, generator, signal: outside.signal });
      const total = performance.now() - start;
      const request = promptRequest(concept);
      return { lines: prompts, command: 'prompts', concept, request, prompts, seed, settings, timingsMs: { total } };
    },
  );
}
