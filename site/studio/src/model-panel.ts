/** The panel that chooses the model: the embedded one, a repository of the Hub, a folder of this machine. */
import { fileListFolder } from 'pentimento';
import { box, button, input, select } from '../../shared/elements.ts';
import { type Choice, embedded, hub } from './models.ts';
import { askedRepository, visit } from './policy.ts';

const TOKEN = 'pentimento-token';

/** The model that this visit begins with. */
export function firstChoice(): Choice {
  const repository = askedRepository();
  input('hub').value = repository ?? '';
  const token = tabStorage()?.getItem(TOKEN) ?? undefined;
  input('token').value = token ?? '';
  return repository === undefined ? embedded : hub(repository, token);
}

/** Listens. @param choose told of another model, or of the same one opened in another way */
export function watchModelPanel(now: () => Choice, choose: (choice: Choice) => void): void {
  button('open-hub').addEventListener('click', () => {
    tabStorage()?.setItem(TOKEN, input('token').value.trim());
    const repository = input('hub').value.trim();
    if (repository) visit(repository);
  });
  button('open-embedded').addEventListener('click', () => visit(undefined));
  input('folder').addEventListener('change', () => {
    const files = [...(input('folder').files ?? [])];
    input('folder').value = ''; // the same one may be chosen again
    if (files.length === 0) return;
    const name = files[0]?.webkitRelativePath.split('/')[0] || 'a folder';
    choose(withHow({ name, folder: () => fileListFolder(files), local: true }));
  });
  for (const field of [select('dtype'), input('max-gb')])
    field.addEventListener('change', () => choose(withHow(now())));
}

/** What lasts as long as the tab; undefined where the visitor lets pages store nothing: then reading the property throws already. */
function tabStorage(): Storage | undefined {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
}

/** Names the model that is open. */
export function nameModel(text: string): void {
  box('model-name').textContent = text;
}

/** Puts how a model is opened into the fields: after a choice that was not taken they would tell of another. */
export function showHow({ dtype, maxBytes }: Choice): void {
  select('dtype').value = dtype ?? '';
  input('max-gb').value = maxBytes === undefined ? '' : String(maxBytes / 1e9);
}

function withHow({ name, folder, local }: Choice): Choice {
  const gigabytes = input('max-gb').valueAsNumber;
  const dtype = select('dtype').value;
  return {
    ...{ name, folder, local },
    ...(dtype === 'float32' || dtype === 'float16' ? { dtype } : {}),
    ...(gigabytes > 0 ? { maxBytes: Math.round(gigabytes * 1e9) } : {}),
  };
}
