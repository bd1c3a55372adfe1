CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO "experiments" VALUES(0,'Default','/work-folder/mlruns/0','active',1795541243202,1795541243202,'default');
INSERT INTO "experiments" VALUES(1,'digits','/work-folder/mlruns/1','active',1795541243250,1795541243250,'default');
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO "metrics" VALUES('val_accuracy',0.7,1795541243399,'fad8b13409aa42a08ecca7f1c55aa480',0,0);
INSERT INTO "metrics" VALUES('val_loss',8.99999999999999911182e-01,1795541243438,'fad8b13409aa42a08ecca7f1c55aa480',0,0);
INSERT INTO "metrics" VALUES('val_accuracy',0.8,1795541243478,'fad8b13409aa42a08ecca7f1c55aa480',1,0);
INSERT INTO "metrics" VALUES('val_loss',6.00000000000000088817e-01,1795541243514,'fad8b13409aa42a08ecca7f1c55aa480',1,0);
INSERT INTO "metrics" VALUES('val_accuracy',8.20000000000000062172e-01,1795541243550,'fad8b13409aa42a08ecca7f1c55aa480',2,0);
INSERT INTO "metrics" VALUES('val_loss',0.54,1795541243578,'fad8b13409aa42a08ecca7f1c55aa480',2,0);
INSERT INTO "metrics" VALUES('val_accuracy',0.72,1795541243742,'73b5c4b2fe7b4a9ab4bc240cdb4ffebe',0,0);
INSERT INTO "metrics" VALUES('val_loss',8.40000000000000079936e-01,1795541243786,'73b5c4b2fe7b4a9ab4bc240cdb4ffebe',0,0);
INSERT INTO "metrics" VALUES('val_accuracy',0.88,1795541243826,'73b5c4b2fe7b4a9ab4bc240cdb4ffebe',1,0);
INSERT INTO "metrics" VALUES('val_loss',0.36,1795541243870,'73b5c4b2fe7b4a9ab4bc240cdb4ffebe',1,0);
INSERT INTO "metrics" VALUES('val_accuracy',0.86,1795541243901,'73b5c4b2fe7b4a9ab4bc240cdb4ffebe',2,0);
INSERT INTO "metrics" VALUES('val_loss',4.20000000000000039968e-01,1795541243938,'73b5c4b2fe7b4a9ab4bc240cdb4ffebe',2,0);
INSERT INTO "metrics" VALUES('val_accuracy',0.6,1795541244090,'204a654266a14785a153e67eb0376e96',0,0);
INSERT INTO "metrics" VALUES('val_loss',1.20000000000000017763e+00,1795541244130,'204a654266a14785a153e67eb0376e96',0,0);
INSERT INTO "metrics" VALUES('val_accuracy',0.65,1795541244152,'204a654266a14785a153e67eb0376e96',1,0);
INSERT INTO "metrics" VALUES('val_loss',1.04999999999999982236e+00,1795541244194,'204a654266a14785a153e67eb0376e96',1,0);
INSERT INTO "metrics" VALUES('val_accuracy',6.69999999999999928945e-01,1795541244218,'204a654266a14785a153e67eb0376e96',2,0);
INSERT INTO "metrics" VALUES('val_loss',0.99,1795541244239,'204a654266a14785a153e67eb0376e96',2,0);
INSERT INTO "metrics" VALUES('val_accuracy',0.75,1795541244438,'f939cccbf3ce45d9b0c3e7187d7c76f7',0,0);
INSERT INTO "metrics" VALUES('val_loss',0.75,1795541244478,'f939cccbf3ce45d9b0c3e7187d7c76f7',0,0);
INSERT INTO "metrics" VALUES('val_accuracy',0.78,1795541244507,'f939cccbf3ce45d9b0c3e7187d7c76f7',1,0);
INSERT INTO "metrics" VALUES('val_loss',0.66,1795541244549,'f939cccbf3ce45d9b0c3e7187d7c76f7',1,0);
INSERT INTO "metrics" VALUES('val_accuracy',0.84,1795541244598,'f939cccbf3ce45d9b0c3e7187d7c76f7',2,0);
INSERT INTO "metrics" VALUES('val_loss',0.48,1795541244630,'f939cccbf3ce45d9b0c3e7187d7c76f7',2,0);
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO "runs" VALUES('fad8b13409aa42a08ecca7f1c55aa480','run-0','UNKNOWN','','','x','FINISHED',1795541243310,1795541243614,'','active','/work-folder/mlruns/1/fad8b13409aa42a08ecca7f1c55aa480/artifacts',1,NULL);
INSERT INTO "runs" VALUES('73b5c4b2fe7b4a9ab4bc240cdb4ffebe','run-1','UNKNOWN','','','x','FINISHED',1795541243659,1795541243978,'','active','/work-folder/mlruns/1/73b5c4b2fe7b4a9ab4bc240cdb4ffebe/artifacts',1,NULL);
INSERT INTO "runs" VALUES('204a654266a14785a153e67eb0376e96','run-2','UNKNOWN','','','x','FINISHED',1795541244016,1795541244282,'','deleted','/work-folder/mlruns/1/204a654266a14785a153e67eb0376e96/artifacts',1,1795541244316);
INSERT INTO "runs" VALUES('f939cccbf3ce45d9b0c3e7187d7c76f7','run-3','UNKNOWN','','','x','FINISHED',1795541244352,1795541244674,'','active','/work-folder/mlruns/1/f939cccbf3ce45d9b0c3e7187d7c76f7/artifacts',1,NULL);
