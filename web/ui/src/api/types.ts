/** Our names for the shapes of the API. The server always writes every field, absent ones as null. */
import type { components } from './schema';

type Schemas = components['schemas'];

/** Makes optional fields present: `a?: T | null` becomes `a: T | null`, all the way down. */
type Solid<T> = T extends (infer Item)[]
  ? Solid<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Solid<T[Key]> }
    : T;

export type AppView = Solid<Schemas['AppView']>;
export type AppState = Schemas['AppState'];
export type ActivityPoint = Solid<Schemas['ActivityPoint']>;
export type BucketRequest = Schemas['BucketRequest'];
export type Uploads = Solid<Schemas['Uploads']>;
export type UploadWindow = Schemas['UploadWindow'];
export type BucketView = Solid<Schemas['BucketView']>;
export type CacheRule = Solid<Schemas['CacheRule']>;
export type CacheState = Solid<Schemas['CacheState']>;
export type CacheView = Solid<Schemas['CacheView']>;
export type Capabilities = Solid<Schemas['Capabilities']>;
export type CheckView = Solid<Schemas['CheckView']>;
export type CloudState = Schemas['CloudState'];
export type Consistency = Schemas['Consistency'];
export type ContentView = Solid<Schemas['ContentView']>;
export type AppCoverage = Solid<Schemas['AppCoverage']>;
export type CoverageView = Solid<Schemas['CoverageView']>;
export type DatabaseView = Solid<Schemas['DatabaseView']>;
export type Databases = Schemas['Databases'];
export type ChangeView = Solid<Schemas['ChangeView']>;
export type DiffView = Solid<Schemas['DiffView']>;
export type DoctorLine = Solid<Schemas['DoctorLine']>;
export type ErrorView = Solid<Schemas['ErrorView']>;
export type Evicted = Solid<Schemas['Evicted']>;
export type FileView = Solid<Schemas['FileView']>;
export type FindView = Solid<Schemas['FindView']>;
export type FolderView = Solid<Schemas['FolderView']>;
export type FoundVersion = Solid<Schemas['FoundVersion']>;
export type FoundView = Solid<Schemas['FoundView']>;
export type HostRequest = Schemas['HostRequest'];
export type HostView = Solid<Schemas['HostView']>;
export type JobKind = Schemas['JobKind'];
export type JobState = Schemas['JobState'];
export type HooksView = Solid<Schemas['HooksView']>;
export type ServiceHooks = Solid<Schemas['ServiceHooks']>;
export type ServiceHooksView = Solid<Schemas['ServiceHooksView']>;
export type JobView = Solid<Schemas['JobView']>;
export type KeysChange = Solid<Schemas['KeysChange']>;
export type KeysView = Solid<Schemas['KeysView']>;
export type LockRule = Schemas['LockRule'];
export type KitView = Solid<Schemas['KitView']>;
export type LocalState = Schemas['LocalState'];
export type PlanView = Solid<Schemas['PlanView']>;
export type PortChange = Schemas['PortChange'];
export type PointView = Solid<Schemas['PointView']>;
export type Policy = Solid<Schemas['Policy']>;
export type PolicyView = Solid<Schemas['PolicyView']>;
export type Problem = Solid<Schemas['Problem']>;
export type Progress = Solid<Schemas['Progress']>;
export type PruneView = Solid<Schemas['PruneView']>;
export type RecoverRequest = Schemas['RecoverRequest'];
export type RestoreRequest = Schemas['RestoreRequest'];
export type PutRequest = Schemas['PutRequest'];
export type SectionView = Solid<Schemas['SectionView']>;
export type SessionView = Solid<Schemas['SessionView']>;
export type SetupView = Solid<Schemas['SetupView']>;
export type SlotView = Solid<Schemas['SlotView']>;
export type SnapshotDetail = Solid<Schemas['SnapshotDetail']>;
export type SnapshotView = Solid<Schemas['SnapshotView']>;
export type Source = Schemas['From'];
export type StatusView = Solid<Schemas['StatusView']>;
export type Target = Schemas['Target'];
export type TierState = Schemas['TierState'];
export type VerificationView = Solid<Schemas['VerificationView']>;
export type WayOut = Schemas['WayOut'];

/** What the event stream carries; the event's name is `type`. */
export type ApplianceEvent = { type: 'job'; job: JobView } | { type: 'apps' | 'snapshots' | 'status' | 'resync' };
