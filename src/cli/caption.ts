/** `pentimento caption`: what a picture shows, in a sentence. */
import { Command } from 'commander';
import { readImage } from '../node/images.ts';
import { caption, PREFIX } from '../pipeline/guide/captions-and-prompts.ts';
import { BlipForConditionalGeneration } from '../pipeline/text/blip.ts';
import type { Outside } from './command.ts';
import { EMBEDDED_KNOWS } from './model.ts';
import { integer } from './option-values.ts';
import { addDeviceOptions, addHubOptions, type DeviceOptions, type HubOptions } from './options.ts';
import { PICTURE_FILE, warningsTo } from './pictures.ts';
import { withTextModel } from './text-model.ts';

interface Options extends DeviceOptions, HubOptions {
  readonly blip?: string;
  /** false with --no-prefix. */
  readonly prefix: string | false;
  readonly maxNewTokens: number;
}

/** The command with all its options. */
export function captionCommand(outside: Outside): Command {
  const command = new Command('caption')
    .description('Say in a sentence what a picture shows.')
    .argument('<image>', PICTURE_FILE)
    .option('--prefix <text>', 'what the caption begins with', PREFIX)
    .option('--no-prefix', 'let the model begin by itself')
    .option('--max-new-tokens <n>', 'most tokens to write', integer(1), 128)
    .optionsGroup('Model and device:')
    .option('--model, --blip <dir or id>', 'folder of a BLIP captioner, or Hub id (default: the embedded one)');
  addHubOptions(command);
  addDeviceOptions(command).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action((image: string, o: Options) => describe(image, o, outside));
}

async function describe(image: string, o: Options, outside: Outside): Promise<void> {
  const picture = await readImage(image, { signal: outside.signal, onWarning: warningsTo(outside.stderr) });
  await withTextModel(
    'blip',
    o.blip,
    o,
    outside,
    (folder, options) => BlipForConditionalGeneration.fromPretrained(folder, options),
    async blip => {
      const start = performance.now();
      const prefix = o.prefix === false ? null : o.prefix;
      const text = await caption(blip, picture, prefix, { maxNewTokens: o.maxNewTokens, signal: outside.signal });
      const total = performance.now() - start;
      return { lines: [text], command: 'caption', image, prefix, caption: text, timingsMs: { total } };
    },
  );
}
