import { useWords } from '~/i18n';
import { KitConfirm } from '~/parts/kit/KitConfirm';
import { KitGate } from '~/parts/kit/KitGate';
import { KitSheet } from '~/parts/kit/KitSheet';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';

/** The kit again, for who knows the password. */
export function KitPanel({ confirmed }: { confirmed: boolean }) {
  const { t } = useWords();
  const pill = (
    <Pill tone={confirmed ? 'good' : 'warn'}>{confirmed ? t.admin.kitConfirmed : t.admin.kitUnconfirmed}</Pill>
  );
  return (
    <Panel title={t.admin.kit} aside={pill}>
      <div className="page">
        <p className="dim small">{t.admin.kitHint}</p>
        <KitGate>
          {(kit) => (
            <>
              <KitSheet kit={kit} />
              {!confirmed && <KitConfirm text={kit.text} onDone={() => {}} />}
            </>
          )}
        </KitGate>
      </div>
    </Panel>
  );
}
