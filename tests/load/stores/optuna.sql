CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'last');
INSERT INTO "studies" VALUES(2,'best');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MINIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',2,0);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,0,0.3,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,1,0.2,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,1,2,0.18,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,0,0.28,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,2,1,0.12,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,2,2,0.14,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,3,0,0.4,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,3,1,0.35,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,4,0,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,4,1,0.22,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(11,4,2,0.16,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(12,5,0,0.3,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(13,5,1,0.2,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(14,5,2,0.18,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(15,7,0,0.3,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(16,7,1,0.2,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(17,7,2,0.18,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(18,8,0,0.28,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(19,8,1,0.12,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(20,8,2,0.14,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(21,9,0,0.4,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(22,9,1,0.35,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(23,10,0,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(24,10,1,0.22,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(25,10,2,0.16,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(26,11,0,0.3,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(27,11,1,0.2,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(28,11,2,0.18,'FINITE');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.18,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,0.14,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,0.35,'FINITE');
INSERT INTO "trial_values" VALUES(4,4,0,0.16,'FINITE');
INSERT INTO "trial_values" VALUES(5,5,0,0.18,'FINITE');
INSERT INTO "trial_values" VALUES(6,7,0,0.18,'FINITE');
INSERT INTO "trial_values" VALUES(7,8,0,0.12,'FINITE');
INSERT INTO "trial_values" VALUES(8,9,0,0.35,'FINITE');
INSERT INTO "trial_values" VALUES(9,10,0,0.16,'FINITE');
INSERT INTO "trial_values" VALUES(10,11,0,0.18,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-24 17:26:58.338582','2026-11-24 17:26:58.633480');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-24 17:26:58.715806','2026-11-24 17:26:58.870549');
INSERT INTO "trials" VALUES(3,2,1,'PRUNED','2026-11-24 17:26:58.896673','2026-11-24 17:26:59.053588');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-24 17:26:59.103637','2026-11-24 17:26:59.301566');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-24 17:26:59.352897','2026-11-24 17:26:59.561693');
INSERT INTO "trials" VALUES(6,5,1,'FAIL','2026-11-24 17:26:59.614890','2026-11-24 17:26:59.713442');
INSERT INTO "trials" VALUES(7,0,2,'COMPLETE','2026-11-24 17:27:00.135767','2026-11-24 17:27:00.355985');
INSERT INTO "trials" VALUES(8,1,2,'COMPLETE','2026-11-24 17:27:00.422275','2026-11-24 17:27:00.601657');
INSERT INTO "trials" VALUES(9,2,2,'PRUNED','2026-11-24 17:27:00.644059','2026-11-24 17:27:00.810531');
INSERT INTO "trials" VALUES(10,3,2,'COMPLETE','2026-11-24 17:27:00.855617','2026-11-24 17:27:01.037442');
INSERT INTO "trials" VALUES(11,4,2,'COMPLETE','2026-11-24 17:27:01.102924','2026-11-24 17:27:01.293376');
INSERT INTO "trials" VALUES(12,5,2,'FAIL','2026-11-24 17:27:01.328994','2026-11-24 17:27:01.421173');
