/** Which folder of what a person chose is the model: mostly the folder itself, sometimes the one around it was picked. */
import { InputError } from '../core/errors.ts';

const WEIGHTS = /\.(safetensors|bin|ckpt|pt|pth)$/;
const CONFIG = /(^|\/)(model_index|config)\.json$/;
/** Folders of a pipeline that are none themselves. */
const COMPONENTS = ['unet', 'vae', 'text_encoder', 'tokenizer', 'scheduler', 'safety_checker'];
const SHOWN = 5;

/**
 * The folder of a model among all files that were chosen.
 * @param op who asks, for messages
 * @param paths with `/`, relative to what was chosen
 * @returns '' for what was chosen, else the folder's path with its slash
 * @throws InputError naming what was found where there are several models, or none
 */
export function modelRoot(op: string, paths: readonly string[]): string {
  const isTop = (path: string): boolean => !path.includes('/');
  if (paths.some(path => isTop(path) && (CONFIG.test(path) || WEIGHTS.test(path)))) return '';
  const roots = (name: string): string[] =>
    paths.filter(path => path.endsWith(`/${name}`)).map(path => path.slice(0, -name.length));
  const isPart = (root: string): boolean => COMPONENTS.includes(root.split('/').at(-2) ?? '');
  const pipelines = roots('model_index.json');
  const found = pipelines.length > 0 ? pipelines : roots('config.json').filter(root => !isPart(root));
  const [only, ...more] = found;
  if (only !== undefined && more.length === 0) return only;
  if (only !== undefined) {
    const received = listed(found.map(root => root.slice(0, -1)));
    throw new InputError({ op, problem: 'there are several models in it', received, fix: 'Choose one of them.' });
  }
  // Vocabularies, and parts of a pipeline: whoever opens it says what it lacks.
  if (paths.some(path => /\.(json|txt|model)$/.test(path))) return '';
  throw new InputError({
    op,
    problem: 'no model lies there',
    expected: 'model_index.json, config.json or a file of weights',
    received: listed(paths) || 'no files',
    fix: 'Choose the folder that holds model_index.json.',
  });
}

function listed(names: readonly string[]): string {
  const more = names.length > SHOWN ? [`${names.length - SHOWN} more`] : [];
  return [...names.slice(0, SHOWN), ...more].join(', ');
}
