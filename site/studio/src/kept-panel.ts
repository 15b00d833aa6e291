/** What of models is kept in the browser, and its removal. */
import { listCache, purge } from 'pentimento/page';
import { box, element, make } from '../../shared/elements.ts';
import { megabytes } from '../../shared/progress.ts';

/** Lists it whenever it is looked at. @param failed told of a browser that does not let one look */
export function watchKeptPanel(failed: (error: unknown) => void, say: (text: string) => void): void {
  const panel = element('kept', HTMLDetailsElement);
  if (typeof navigator.storage?.getDirectory !== 'function') {
    panel.hidden = true;
    return;
  }
  const show = async (): Promise<void> => {
    const { models, bytes } = await listCache();
    box('kept-size').textContent = bytes > 0 ? `${megabytes(bytes)} MB in all.` : 'Nothing is kept.';
    const rows = models.map(model => {
      const name = model.name?.replace(/^https?:\/\/(huggingface\.co\/)?/, '') ?? 'what another version has kept';
      const remove = make('button', { type: 'button' }, 'Remove');
      remove.setAttribute('aria-label', `Remove ${name}`);
      remove.disabled = model.name === undefined;
      remove.addEventListener('click', () => {
        const { name: kept = '' } = model;
        purge({ name: kept })
          .then(async ({ bytes: freed }) => {
            say(freed > 0 ? `${megabytes(freed)} MB removed.` : 'The model that is open stays.');
            await show();
            panel.querySelector('summary')?.focus();
          })
          .catch(failed);
      });
      return make('li', { className: 'row' }, make('span', {}, `${name}, ${megabytes(model.bytes)} MB`), remove);
    });
    box('kept-list').replaceChildren(...rows);
  };
  panel.addEventListener('toggle', () => {
    if (panel.open) show().catch(failed);
  });
}
