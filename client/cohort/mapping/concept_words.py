"""The words of headings in several languages: en, de, fr, es, it, nl, pt, zh and ja.

A word stands for itself with a few letters of inflection behind it; with "=" in front it stands alone; with
"~" in front it may be a part of a compound ("volumenmessung"); with "*" behind any letters may follow. "_" is
a blank or nothing. Chinese and Japanese words stand anywhere. Accents and capitals do not count.
"""

from __future__ import annotations

from collections.abc import Mapping

CONCEPTS: Mapping[str, str] = {
    "identifier": """
        anonymat anonym =subj =subject_no =subj_no =subj_id =pat =patid =pt_id =ptid =pseudo_id =id =pid
        pat_id pat_nr pat_no case_number fallnr fall_nr 研究id patient_id patientid patient_no
        patient_number patient_code study_id studyid record_id record subject subject_id pseudonym~
        pseudonyme seudonimo participant participant_id studien_id studienid studiennummer patienten_id
        patientennummer patientennr patienten_nr patientnummer case_id fall_id fallnummer
        case_no identifiant numero_patient identificador
        codigo_paciente id_paciente codice_paziente id_paziente patientnr codigo_do_paciente
        患者编号 患者id 研究编号 病例号 受试者编号 患者番号 症例番号 被験者番号 患者識別番号 研究番号
        症例id 登记号
        =usubjid =subject_id =subjectid =randno rand_no randomisation_no screening_no 登録番号 登録id
        患者no 症例no
    """,
    "hospital_number": """
        =mrn medical_record_number hospital_number chart_number 住院号 病案号 门诊号 病历号 住院编号
        カルテ番号 =nhc historia_clinica nosologico
        =expediente numero_de_expediente =prontuario
    """,
    "serial": """
        =no =nr =number =nummer =numero =lfd 序号 编号 番号 通し番号 lfd_nr =code =codigo =codice =kennung
        =num =id =key =identifiant =identificativo 编码 代码 コード
    """,
    "neutral": """
        connu connue bekannte dokumentiert documente associe associee arrivee llegada arrivo aankomst
        excessive chronic chronisch chronique cronico regular actif active activo attivo actual attuale
        actuel signes signos segni =hospit =ltx =lx =excess =conso =intra =dentro =dans =innerlich
        =detected =seen =noted =visible =gesehen =vu =visto =nota =previously =ever =of =the =a =at =on
        =in =is =any =and =or =for =with =history =hx =patient =patients =pt =status =sign =signs =m =f
        =within =inside =innerhalb =basal =basale =teken =art =域 形成 =present =presence =baseline =bl
        =admission =adm =admit =initial =first =arrival =presentation =presenting =index =ed =er =hospital
        =bekannt =bei =aufnahme =aufn =vor =der =die =das =im =am =zum =zeichen =initiale =aktuell =oder
        =fruher =frueher =vorhanden =anamnese =anamnestisch =erste =erstes =erstem =ersten =eingang =la
        =le =les =l =de =d =du =des =en =un =une =antecedents =antecedent =atcd =signe =premier =premiere
        =el =los =las =del =al =y =antecedentes =signo =ingreso =primer =primera =inicial =presencia =di
        =della =allo =alla =all =dell =nel =ingresso =segno =anamnesi =primo =prima =presenza =van =het
        =een =bij =opname =voorgeschiedenis =eerste =do =da =dos =na =no =ao =admissao =sinal =historia
        =historico =entrada =yn =n =ja =nein =j =oui =non =si =sim =nao =value =wert =known =documented
        =ct =cct =ncct =tdm =tac =tc =scan =bild =scanner =scans =imaging =initialer =coded =code =current
        =deid =de_id =deidentified =pseudonymised =anonymized =anon 史 征 征象 入院 入院时 时 首次 初次
        基线 有无 是否 既往 的 了 患者 初诊 初回 来院時 入院時 既往歴 歴 の あり 有無 サイン 发病时 首诊
        =o =e =u areas area areale zonen zones zonas aree =estimated =total =measured =manual =auto =admis
        =ing =bas =iniz =init =zero =t0 =v0 =visit_1 =eintritt =spital =klinik =notaufnahme =emergency
        =urgences =urgencias =pronto_soccorso =confirmed =diagnosed =diagnosis =dx =pmh =comorbidity
        =comorbid =vorerkrankung 伴 合并 有 和 或 程度 情况 结果 値
        =bsl =bline =base =enrolment =enrollment =triage =rf =comorb =pmhx =dem =demog =demographics =vs
        =lab =labs =lb =mh =cm =serum =hist =nect =concomitant =associated =asociada =asociado =activa
        =tipo =interna =interno =internal =habito =ingesta =intake =heavy =tto =toma =previa =previo
        =previas =previos =sn =que =uso =pac =event =d0 =day_0 =h0 =0 =1 =intrahematoma =intrahaematomal
        =intrahematomal 徴候 常習 多飲 現 灶 影 像 合併 来院 使用 内 presenta
        =has =have =yes =existing preexisting pre_existing =antecedente =ereignis =aktiver =aktive =dello
        interne internes =head =brain 区 长期 就诊 =bereits =ou =in_corso =con =to =by =per =als =mit
        =bzw =von
    """,
    "other_time": """
        =mri =mrt =irm =rmn 磁共振
        discharge entlassung sortie alta dimissione ontslag 出院 退院 =mrs =gos =nihss mortality death
        死亡 =90d =30d =d90 =m3 month monat mois mese maand 个月 月後 =nach =after =post =apres =despues
        =dopo =na_opname postop max peak maximum highest lowest worst target goal ziel zielwert 目标 icu
        day tag jour =giorno =year_1 outcome verstorben neu_aufgetreten during wahrend hospital_stay
        住院期间
        =mr =rm =rnm =resonancia =resonance =swi =dwi =flair =dc =dsch =dschg =disch =egreso =egress
        =egresar =d1 =d2 =d3 =d4 =d5 =d7 =d14 =j1 =j2 =j3 =j7 =pod post_op posterior_a intrahospital
        maxima minima maximo minimo objetivo meta 翌日 病日 日目 日後 週後 週間後 年後 術後 治療後 降圧後
        投与後 最高 最大 最低 目標 転帰 mr画像
    """,
    "other_person": """
        family familie familial familiar famigliare father mother vater mutter sibling parent kinder child
        reader_2 reader2 second_reader zweitbefunder zweiter 2nd_reader =r2 rater_2 rater2 observer_2 家族
        家族史 第二读片 読影者2 wife partner
        =fh =fhx =fmhx =famhx =fam =ahf =anf =afam heredofamiliares padre madre hermano hermana pere mere
        frere 父 母 兄弟 家系 血縁
    """,
    "kind_of": """
        =type =typ =dose =dosis =dauer =duration =date =datum =datetime =reason =grund =name =comment
        =kommentar =notes =score =grade =volume =count =anzahl =years =packs =pack =pack_years =units
        =therapy =stop =start =since =seit 类型 剂量 日期 评分 备注 年数 支数 日付 種類 =reversal
        =reversed =antagonisierung =antidote
        =heterogeneity_index
    """,
    "followup": """
        second_ct second_scan zweites_ct 2nd_ct deuxieme_scanner segunda_tc seconda_tc
        follow follow_up followup =fu =fup =f_u repeat repeated control ~kontroll kontrolle verlauf
        verlaufs =controle =suivi =seguimiento =controllo =vervolg =controlescan
        stability later delayed =24h =24 =48h =48 =72h =72
        =24_h =36h =12h ct_2 =ct2 =cct2 =tdm2 =tac2 =t1 =v2 =fct =fuct =acompanhamento =retorno =kontrolle
        复查 随访 第二次 再次 复查ct 24小时 48小时 72小时 末次 フォロー 再検 追跡 2回目 二回目
        フォローアップ 経過
        24時間後 48時間後 72時間後 時間後 =ctrl 翌日ct segunda 2a_tc
    """,
    "growth": """
        growth expansion expand increase wachstum zunahme enlargement croissance crecimiento crescita
        delta change difference 扩大 增大 增长 拡大 増大 percent
        =pct =growth =expans aumento agrandamiento 増加 変化
    """,
    "before": """
        =prev =preop =bevor =before =prior =previous =pre =pre_ct =vor =avant =antes =previo =previa
        =prima =voor =earlier =history =hx =anamnese =antecedent =antecedents =antecedente =antecedentes
        =eerdere =pregressa =pregresso =fruhere =frueher =fruher =anterieur =anterior =precedente =zuvor
        =past 前 既往 術前 以前 曾 =z_n =zn =status_nach =st_n =stattgehabt =before_the
        vorgeschichte
    """,
    "interval": """
        =dt =gap =h =hrs =hr =hours =min =days =2 =interval =time =zeit =zeitspanne =intervall =abstand
        =dauer =delai =delay =intervalle =tiempo =intervalo =tempo =intervallo =tijd =duration =between
        =zwischen =bis =to =until =jusqu =entre =hasta =fra =tra =tussen 时间 间隔 间期 时长 時間 間隔
        までの まで 至 から =and =und =et =e =a =al =alla =tot =heure =heures =elapsed =ate =fino =horas
        =stunden =ore =minuten =minutos =uren =tage =jours =dias =giorni =from =desde =depuis =von =van
        =dalla =dal =da =since
    """,
    "onset": """
        onset symptom_onset symptombeginn symptom_beginn beginn ~beginn =lkw =lsw =lswn last_known_well
        last_seen_well =ictus ictus_onset debut symptome symptoom_begin =inicio =esordio =aanvang symptom
        symptoms sintomas sintomi 发病 起病 症状出现 発症 最終健常 symptomen symptomes =insorgenza
        klachten
        =evolucion =inicio_sintomas =stroke_onset
    """,
    "ct": """
        =ct =cct =ncct =nct =scan =scanner =tdm =tac =tc =imaging =bildgebung ct扫描 ct =image =ct1 =cct1
        ct_1 影像 检查 画像
        检查
    """,
    "past": "病史 史 歴 =pmh =pmhx =mh =hist =antec =ant",
    "treated": """
        ~medikation medication =medications =drugs =meds ~therapie therapy treatment tratamiento traitement
        terapia trattamento insulin behandlung =tto 薬 药 治疗 治療
    """,
    "place": "=hospital =clinic =centre =center =klinik =spital =ward",
    "negated": """
        =never =not =without =sin =sans =nicht =kein =keine =ohne =senza =sem =nunca =jamais =geen =nie
    """,
    "undone": """
        reversal =reversed =antidote antagonisi* =revers =reversion =restart =restarted =resumed =stopped
        =stop =withheld =paused =reinicio =suspendido =suspension =dose =dosis =dosage 中和 拮抗 再開 中止
        重启 停用 逆转 用量 剂量
    """,
    "between": """
        =between =entre =zwischen =fra =tra =tussen interscan inter_scan inter_ct =interval =intervals
        =intervalle =intervalo =intervallo =intervall =abstand =gap 間隔 间隔 两次 2回
    """,
    "hiv_of_romance": "=hiv",
    "first_ct": """
        scanner_1 scan_1 tdm_1 tac_1 tc_1 cct_1 =ct1 =cct1 =tdm1 =tac1 =tc1 ct_1 first_ct initial_ct
        baseline_ct
    """,
    "second_ct": """
        scanner_2 scan_2 tdm_2 tac_2 tc_2 cct_2 =ct2 =cct2 =tdm2 =tac2 =tc2 ct_2 second_ct repeat_ct
    """,
    "age": "=age =alter =lebensalter =edad =eta =leeftijd =idade =years_old age_years 年龄 年齢",
    "sex": """
        =sex =gender =geschlecht =geschl =sexe =sexo =sesso =geslacht =genero =genre 性别 性別 =m_w =w_m
        =m_f =f_m =h_f =h_m =m_v =v_m
    """,
    "systolic": """
        =sbp systol~ systolic systolisch systolique sistolic =rrsys =rr_sys =syst =sys =sysbp =psys =sysrr
        =pas =tas =sysbd 收缩压 収縮期 収縮期血圧 =bpsys =sys_bp =bp_sys =sist =rrsyst
    """,
    "diastolic": """
        =dbp diastol~ diastolic diastolisch diastolique =rrdia =rr_dia =diast =dia =dias =diabp =pdia =pad
        =tad 舒张压 拡張期 拡張期血圧 =bpdia =dia_bp =bp_dia =rrdias =rrdiast
    """,
    "pressure": """
        =bp blood_pressure =pressure blutdruck ~blutdruck =rr =pression arterielle pression_arterielle
        tension presion arterial pressione arteriosa bloeddruk pressao 血压 血圧 =pa =ta
    """,
    "inr": """
        =inr =ptinr =pt_inr 国际标准化比值 国际标准化比率 国際標準比 =rni =quick_inr prothrombin_time_inr
        凝血inr
    """,
    "volume": "volume ~volum =vol =ml =size_ml volumen 体积 出血量 血肿量 容积 量 体積 血腫量 grootte_ml",
    "smoking": """
        =smk =smok smoking smoker =smoke =smokes tobacco nikotin~ nikotinabusus raucher rauchen =raucht
        cigarette tabagisme tabac fumeur tabaquismo tabaco fumador fumatore =fumo roken roker tabagismo
        fumante nicotine 吸烟 抽烟 喫煙 タバコ
        tabaquico tabaquica raucherstatus fumeur_actif =tabag
        =rookt =raucht
    """,
    "alcohol": """
        =alc =alk alcohol =etoh ethanol alkohol~ alkoholkonsum alkoholabusus =c2 drinking drinker drinks
        =alcool alcoolisme consumo_de_alcohol alcolismo alcoolismo alcoholgebruik ethylisme enolismo potus
        饮酒 酗酒 酒精 喝酒 飲酒 アルコール =alcol alkohol* alcohol* alcool*
        enolico enolica etilismo etilico =etil
        etilista
    """,
    "use": """
        =use =konsum =consumption =consommation =abus =abuse =abusus =gebruik =consumo =habit =uso =user
        =aktiv =active =ever =current
    """,
    "diabetes": """
        diabetes diabetic diabetiker diabete =dm =t2dm =dm2 =t1dm =iddm =niddm zuckerkrankheit
        suikerziekte =diab 糖尿病 diabet*
        =dmt2 =dmt1 =diabet
    """,
    "mellitus": """
        =mellitus =type =typ =2 =1 =ii =sucre =mellito =mell
        型 2型 1型
    """,
    "hypertension": """
        hypertension hypertensive =htn =htx hypertonie ~hypertonie hypertonus =aht =hta hypertensi
        hipertension ipertensione hipertensao hoge_bloeddruk high_blood_pressure bluthochdruck 高血压
        高血圧 高血压病 =hbp hyperton* hypertens* hipertens* ipertens*
    """,
    "arterial": """
        =art =arterielle =arterieller =arterial =arteriosa =arteriale =essential =systemic =病 =sistemica
        =sistemico 症
    """,
    "antiplatelet": """
        =antiplt =antipl =aap =antiplat antiagregant antiplatelet =antithrombotic antithrombotics
        antithrombotika =apt =taah =tah =tfh =ass aspirin =asa thrombozytenaggregationshemmer
        ~aggregationshemmer thrombozytenhemmer plattchenhemmer antiagregante antiaggregant
        antiplaquettaire antiaggregante plaatjesremmer plaatjesremmers trombocytenaggregatieremmer
        antiplaquetario antithrombotique antitrombotic 抗血小板 抗血栓 抗血小板药 抗血小板薬 抗血栓薬
        antiagreg* antiaggreg* antiplatelet* antitrombocit* plaatjes*
        anti_platelet clopidogrel plaquetario plaquetaria
        thrombozytenagg* trombocytenagg* thrombozytenfunkt* antiplaquett* plaquettaire
    """,
    "anticoagulation": """
        anticoag anticoagulation anticoagulant anticoagulated anticoagulants antikoagulation
        ~antikoagulation antikoagulanzien =oak =oac =doak =ac anticoagulante anticoagulacion
        anticoagulazione antistolling antistollingsmiddel bloedverdunner =aco =tao anticoagulacao
        blutverdunner blutverdunnung =noac_oder_vka 抗凝 抗凝治疗 抗凝药 抗凝固 抗凝固薬 抗凝剂 antikoag*
        anticoag* antistoll* blutverdunn*
        anti_coagulant anti_coagulants anti_coagulation
    """,
    "medication": """
        =therapy =therapie =treatment =medication =medikation =drug =drugs =agent =traitement =tratamiento
        =terapia =use =orale =oral =oraler =orales =orali =tratamento =behandeling =before =blutung
        =einnahme =prior =vor =taking 药 药物 治疗 用药 剂 服用 薬 内服 療法 =hemmer =ich =home =meds
        =blutungsereignis
        =preadmission =pre_admission =toma =tto =agents =previa =previo 使用
        vormedikation =med =meds =home =oraux =orais 药物 口服
    """,
    "warfarin": """
        =warf warfarin coumadin marcumar phenprocoumon =vka =avk vitamin_k_antagonist vitamin_k antagonist
        warfarina sintrom acenocoumarol coumarin 华法林 ワルファリン ワーファリン
        acenocumarol acenocoumarin
        varfarina
    """,
    "recurrent": """
        recurrent recidiv rezidiv ~rezidiv =vorblutung vorblutungen recidive recurrente
        recidivante 复发 再发 再発
    """,
    "ich": """
        =ich =icb =iph =hic =hip =eic intracerebral ~intrazerebral intrazerebrale intraparenchymal
        intracerebrale parenchym cerebral_hemorrhage cerebral_haemorrhage brain_hemorrhage hirnblutung
        hemorragie_cerebrale hemorragia_cerebral emorragia_cerebrale hersenbloeding 脑出血 脑内出血 脳出血
        脳内出血
    """,
    "hemorrhage": """
        hemorrhage haemorrhage hemorrhagic bleed bleeding =blutung ~blutung ~blutungs blutungs hemorragie
        hemorragia emorragia bloeding hemorragico 出血 血 sangrado sanguinamento sangramento hemorrag*
        haemorrhag* hemorrhag* emorrag* blutung*
    """,
    "hematoma": """
        hematoma haematoma hamatom ~hamatom haematom ~haematom hematome ematoma hematoom hematomes 血肿
        血腫 hamatom* hematom* haematom* ematom*
        =hem =haem =hema =hmt abc_2 =abc2
    """,
    "ivh": """
        inondation_ventriculaire ventricular_extension ventriculaire ventricolare ventrikulaire =ivh =ivb
        intraventricular intraventrikular ~ventrikel ventrikeleinbruch ventrikelblutung intraventriculaire
        intraventricolare ventricular ventrikulare 脑室 脑室出血 脑室内出血 破入脑室 脳室 脳室内出血
        脳室穿破 脳室内 intraventr* =ventriculos =ventricoli =ventriculi
        hemoventriculo
    """,
    "extension": """
        =extension =einbruch =穿破 =breakthrough =beteiligung =blood =blut anteil komponente component
        componente apertura abertura beteiligung ~beteiligung involvement spread rupture ruptura irruption
        ouverture inundacion inondazione diffusion coinvolgimento estension 破入 穿破 波及 合并 伴
        invasion vertido 進展 =volcado derrame 积血
        inundacao doorbraak
    """,
    "sah": """
        =sah =sab =hsa subarachnoid subarachnoidal~ subarachnoidale sous_arachnoidienne subaracnoidea
        arachnoid 蛛网膜下腔 蛛网膜下腔出血 蛛网膜下隙 くも膜下 subarachn* subaracn* sousarachn*
        =esa
    """,
    "location": """
        topograph topografie topografia =locus location locat =loc =lok lokalisation ~lokalisation
        localisation localizacion ubicacion sede localizzazione lokalisatie locatie localizacao =site
        =lage region 部位 位置 出血部位 場所 localiz* lokalis* localis* locali* lobar_deep
        局在 =anatomical_location =localizacion
    """,
    "primary": """
        primary primare primar isolated isoliert primaire primaria primitiva pure =only 原发性 原发 单纯
        原発性 一次性 =reine =rein =reiner =pura =puro =puur =alleinige
        aislada aislado aislados isolee isolata isolato isolada
        primitive
    """,
    "irregular": """
        irregular irregulare irregulier irregolare onregelmatig 不规则 不整 不整形 unregelmassig =irreg
        不規則 lobulated irregul* irregol* onregelm* unregelm*
        =irregularidad
    """,
    "shape": """
        shape form morph margin margins border rand forme bordes bordi contour kontur 形态 形状 边缘 辺縁
        hematoma 血肿 血腫 =borders =edge =vorm
        margenes margen contorno contornos contorni contours marges morfologia morphologie morphology
        bord
    """,
    "satellite": """
        satellite satelliten satellit satellitenzeichen satellietteken satelite satellitare 卫星
        サテライト 衛星 satellit* satélit*
    """,
    "island": """
        island insel inselzeichen eilandteken signe_de_l_ile ilot =isla =isola eiland =ilha 岛 アイランド
        島 inselz* =island_sign
    """,
    "black_hole": """
        =bhs black_hole blackhole schwarzes_loch trou_noir agujero_negro buco_nero zwart_gat buraco_negro
        黑洞 ブラックホール
        hoyo_negro
    """,
    "blend": "blend blend_sign blending mischzeichen 混合 ブレンド mezcla =混杂 混杂征",
    "fluid": """
        fluid_level fluid_levels fluid_fluid fluid_fluid_level flussigkeitsspiegel spiegelbildung
        niveau_liquide nivel_liquido nivel_de_liquido livello_fluido livello_liquido vloeistofspiegel
        liquide_liquide liquido_liquido nivel_hidrico fluid_lvl 液平 液平面 液-液平面 液面
        blood_fluid_level blood_fluid nivel_liquido_liquido niveles_liquidos nivel_hematico
        niveau_hydrohematique hydrohematique sedimentation_level hematocrit_level フルイドレベル
        液面レベル 鏡面 液体平面 液液面
        niveau_hydrique niveau_hydro_hematique flussigkeits_spiegel
    """,
    "level": "=level =levels =nivel =livello =niveau =spiegel",
    "swirl": """
        swirl swirl_sign wirbel tourbillon remolino vortice 漩涡 旋涡 スワール 渦 =whirl 渦巻き 渦巻
        redemoinho
    """,
    "hypodensity": """
        hypodensit hypodens ~hypodens hypodensities hypodensity hypodense hipodens ipodens hypodensite
        low_density hypoattenuation 低密度 低吸収 低濃度 hypodens* hipodens* ipodens* hypoattenuat*
    """,
    "heterogeneous": """
        heterogeneous heterogeneity heterogen heterogene heterogenous inhomogen inhomogene eterogene
        heterogeneo eterogenea heterogenea 不均 不均匀 不均质 不均一 heterogen* eterogen* inhomogen*
        =het =hetero
    """,
    "density": """
        densit density dichte densite densidad densita dichtheid attenuation 密度 濃度 hematoma hamatom
        血肿 =dens densit* densid*
    """,
    "surgery": """
        =surg =dve surgery surgical operation =op operiert =evd craniotomy =crani kraniotomie craniectomy
        drain drainage ~drainage chirurgie cirugia chirurgia chirurgisch operatie cirurgia neurosurgery
        intervention evacuation 手术 开颅 引流 术 手術 穿刺 ventriculostomy 外引流 chirurg* cirug* operat*
        neurochirurg* neurosurg* drenaje drenagem drainag* derivacion
        外科治療 外科的治療 intervencion 外科手術 surgic* cirugias
    """,
    "artefact": """
        mouvement movimiento movimento bewegung bewegungsartefakt artefact artifact artefakt ~artefakt
        artefakte ~artefakte artefatti artefato artefacto artefakten motion movement bildartefakt 伪影
        アーチファクト artef* artif* bewegungsart*
        体動アーチファクト 体動
        运动 bewegings*
    """,
    "obvious": """
        =obvious =motion =severe =marked =bild =image =relevant =relevante =deutliche =visible =major 明显
        严重
    """,
    "path": """
        =path =file =folder =pfad =datei =ordner =dicom =nifti =fichier =archivo =chemin =cartella =map
        =series 文件 路径 ファイル フォルダ
    """,
    "mask": "mask maske segmentation segmentierung masque mascara maschera masker =seg =roi 分割 マスク",
    "person": """
        =patient =patients =patienten =paciente =pacientes =paziente =pazienti =pat =fall =case =caso =cas
        =sujet =subject =proband =probanden =patientin 患者 症例 病人 受试者 病例 被験者 =patient_s
        =study =pac =pcte =registro
    """,
}
"""By concept."""
