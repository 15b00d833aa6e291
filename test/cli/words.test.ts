/** Errors on the command line speak of its options, whichever part of the library threw them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { inCommandWords, warningInCommandWords } from '../../src/cli/words.ts';
import { DeviceError, InputError, ShapeError, WeightsError } from '../../src/core/errors.ts';
import { nonFiniteLatents } from '../../src/pipeline/runtime/finite.ts';
import { pentimento } from '../support/command.ts';

it('tiles that have nothing to do are spoken of by their options', () => {
  const warning =
    "VAE tiling has nothing to do: no side of 768x768 is above a tile's 768 pixels; smaller ones: enableVaeTiling({ pixels: 512 })";
  expect(warningInCommandWords(warning)).toBe(
    "--enable-vae-tiling has nothing to do: no side of 768x768 is above a tile's 768 pixels; smaller ones: --vae-tile 512",
  );
});

describe('an error on the command line', () => {
  it.each([
    [
      nonFiniteLatents('edit', { step: 0, timesteps: [981], dtype: 'float16' }),
      'edit: the latents hold values that are not finite (from step 1 of 1 on, timestep 981). Use --dtype float32; where that fails too, the weights hold such values.',
    ],
    [
      new DeviceError({ op: 'edit', problem: 'not finite', fix: "Use dtype: 'float32', or a sound file." }),
      'edit: not finite. Use --dtype float32, or a sound file.',
    ],
    [
      new DeviceError({
        op: 'Gpu',
        problem: 'x',
        fix: 'Use dtype float16, enableModelCpuOffload, VAE tiling, or less.',
      }),
      'Gpu: x. Use --dtype float16, --enable-model-cpu-offload, --enable-vae-tiling, or less.',
    ],
    [
      new InputError({
        op: 'run',
        problem: 'not a count',
        expected: 'a whole number',
        value: 'ten',
        path: 'numMapsPerMask',
      }),
      'edit: not a count: expected a whole number, got "ten" (--num-maps-per-mask)',
    ],
    [
      new InputError({ op: 'edit', problem: 'no latents', fix: 'Make them with invert().' }),
      'edit: no latents. Make them with `pentimento invert`.',
    ],
    [
      new WeightsError({ op: 'DiffEditPipeline.fromPretrained', problem: 'only halves', fix: "Pass variant: 'fp16'." }),
      'model: only halves. Pass --variant fp16.',
    ],
    [
      new InputError({ op: 'x', problem: 'no word', fix: "Pass { token: '<word>' }, or { variant: 'fp16' }." }),
      'x: no word. Pass --embedding FILE:<word>, or --variant fp16.',
    ],
    [
      new InputError({ op: 'x', problem: 'a LoRA', fix: 'Write --lora, or pass it to loadLoraWeights of a pipeline.' }),
      'x: a LoRA. Write --lora.',
    ],
    [
      new InputError({ op: 'x', problem: 'a wrong embedding', fix: 'Call loadTextualInversion() again.' }),
      'x: a wrong embedding. Call --embedding again.',
    ],
    [
      new InputError({
        op: 'step',
        problem: 'unknown type',
        fix: 'Give another one: Scheduler.fromConfig(config, { predictionType }).',
      }),
      'step: unknown type. Give another value in scheduler_config.json.',
    ],
    [
      new InputError({ op: 'generate', problem: 'nothing left', fix: 'Ban fewer tokens, or set removeInvalidValues.' }),
      'generate: nothing left. Ban fewer tokens, or set remove_invalid_values in generation_config.json.',
    ],
    [
      new ShapeError({ op: 'add', problem: 'shapes differ', fix: 'Read it by graph.input(). Keep both.' }),
      'add: shapes differ. Keep both.',
    ],
    [
      new InputError({
        op: 'add',
        problem: 'no device',
        expected: 'a Gpu',
        fix: "Pass await requestGpu() of 'pentimento/node'.",
      }),
      'add: no device: expected a Gpu',
    ],
  ])('%# names options and commands, and no call', (error, line) => {
    expect(inCommandWords(error, 'edit')).toBe(line);
  });

  it('leaves paths, values and what files are called as they are', () => {
    const error = new InputError({
      ...{
        op: 'readImage',
        problem: 'no readable file',
        received: "dtype: 'x'",
        path: '/home/guidanceScale/dtype: 1.png',
      },
      fix: 'Load it with torch.load(path, weights_only=True).',
    });
    expect(inCommandWords(error, 'edit')).toBe(error.message);
  });

  it('leaves out what only a page can have', () => {
    const fix = 'Check the address, and that its server allows other origins (CORS).';
    const error = new InputError({ op: 'loadImage', problem: 'no answer', path: 'http://127.0.0.1/x.png', fix });
    expect(inCommandWords(error, 'edit')).toBe('loadImage: no answer (http://127.0.0.1/x.png). Check the address.');
  });

  it('calls an option as the command does that ran', () => {
    const prompt = new InputError({ op: 'invert', problem: 'not a prompt', path: 'prompt' });
    expect(inCommandWords(prompt, 'invert')).toBe('invert: not a prompt (--source)');
    const count = new InputError({ op: 'generate', problem: 'not a count', path: 'numReturnSequences' });
    expect(inCommandWords(count, 'prompts')).toBe('generate: not a count (--n)');
    expect(inCommandWords(count, 'guide')).toBe('generate: not a count (--num-prompts)');
  });

  it('says warnings so too, but not what stands in quotes', () => {
    expect(warningInCommandWords("Pass variant: 'fp16'; cut off: \"seed: 5, dtype: 'x'\"")).toBe(
      'Pass --variant fp16; cut off: "seed: 5, dtype: \'x\'"',
    );
  });

  it('is said so by the program', async () => {
    const prompts = ['--source', 'a', '--target', 'b', '-o', '/nowhere/x.png', '--num-inference-steps', '1001'];
    const { stderr } = await pentimento(['edit', 'models/orchard/samples/apples-bowl.png', ...prompts]);
    expect(stderr).toContain('got 1001 (--num-inference-steps). The model was trained on 1000 timesteps');
  });
});

type Part = 'problem' | 'expected' | 'fix';
const PARTS: Readonly<Record<string, Part>> = { problem: 'problem', expected: 'expected', fix: 'fix', instead: 'fix' };

/** The texts of every error in the sources, placeholders filled in, by the part that they are of. */
function everyText(): { readonly file: string; readonly part: Part; readonly text: string }[] {
  const found: { file: string; part: Part; text: string }[] = [];
  const src = new URL('../../src', import.meta.url).pathname;
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.startsWith('cli')) continue;
    const tree = ts.createSourceFile(file, readFileSync(join(src, file), 'utf8'), ts.ScriptTarget.Latest, true);
    const take = (name: ts.Node, value: ts.Node | undefined) => {
      const part = PARTS[name.getText(tree).toLowerCase()];
      if (part && value) for (const text of textsOf(value, tree)) found.push({ file, part, text });
    };
    const visit = (node: ts.Node): void => {
      if (ts.isPropertyAssignment(node) || ts.isVariableDeclaration(node) || ts.isParameter(node)) {
        take(node.name, node.initializer);
        // const [expected, fix] = ['…', '…']
        if (ts.isArrayBindingPattern(node.name) && node.initializer && ts.isArrayLiteralExpression(node.initializer)) {
          const values = node.initializer.elements;
          for (const [i, name] of node.name.elements.entries()) take(name, values[i]);
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(tree);
  }
  return found;
}

/** The literals of an expression; `${x}` reads as 1. */
function textsOf(node: ts.Node, tree: ts.SourceFile): string[] {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return [node.text];
  if (ts.isTemplateExpression(node))
    return [[node.head.text, ...node.templateSpans.map(s => s.literal.text)].join('1')];
  if (ts.isConditionalExpression(node)) return [...textsOf(node.whenTrue, tree), ...textsOf(node.whenFalse, tree)];
  return [];
}

describe('every error of the library', () => {
  const texts = everyText();

  it('is found', () => {
    expect(texts.length).toBeGreaterThan(300);
    expect(texts.filter(({ text }) => /\b[a-z]+[A-Z][a-z]/.test(text)).length).toBeGreaterThan(30);
  });

  it('names no argument and no call of the library on the command line', () => {
    const left = texts.flatMap(({ file, part, text }) => {
      const error = new InputError({ op: 'x', problem: 'y', [part]: text });
      const line = inCommandWords(error, 'edit')
        .slice(3)
        .replaceAll(/`[^`]*`|torch\.\w+\([^)]*\)|\w+Tokenizer\w*/g, '');
      return /\b[a-z]+[A-Z][a-z]\w*|[a-z]\(|\b[a-z]+: '|'pentimento\//.test(line) ? [`${file}: ${line}`] : [];
    });
    expect(left).toEqual([]);
  });
});
